/** The weights of a TorchScript archive: the tensors of a module and of the modules in it, by the path of attributes. */

import { InputError } from "../../array/input-error.ts";
import { nestedTensors } from "./nested-tensors.ts";
import { type NamedTensors, PickledObject, type PickleValue } from "./pickle-values.ts";

/** The package of all classes that TorchScript compiled; here they are records of attributes. */
export const scriptPackage = "__torch__.";

/** Whether a file holds a TorchScript module, which has code beside its weights; the code is not looked at. */
export function isScriptModule(root: PickleValue): root is PickledObject {
  return root instanceof PickledObject && root.type.startsWith(scriptPackage);
}

/**
 * Parameters and buffers by PyTorch's names, `layers.conv.weight`, in the order of the file.
 * @throws InputError if modules hold themselves, or there is no tensor.
 */
export function moduleTensors(root: PickledObject, where: string): NamedTensors {
  const attributesOf = (value: PickleValue) =>
    isScriptModule(value) && value.state instanceof Map ? value.state.entries() : undefined;
  const tensors = nestedTensors(root, attributesOf, `${where}: its module`);
  if (tensors.size > 0) return tensors;
  throw new InputError(`${where}: expected a TorchScript module with weights, found one without`);
}
