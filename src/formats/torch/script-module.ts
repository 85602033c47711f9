/** The weights of a TorchScript archive: the tensors of a module and of the modules in it, by the path of attributes. */

import { InputError } from "../../array/input-error.ts";
import { PickledObject, PickledTensor, type PickleValue } from "./pickle-values.ts";
import type { StateDict } from "./state-dicts.ts";

/** The package of all classes that TorchScript compiled; here they are records of attributes. */
export const scriptPackage = "__torch__.";

const deepestModule = 64;
const mostValues = 200_000;
const longestName = 1000;

/** Whether a file holds a TorchScript module, which has code beside its weights; the code is not looked at. */
export function isScriptModule(root: PickleValue): root is PickledObject {
  return root instanceof PickledObject && root.type.startsWith(scriptPackage);
}

/**
 * Parameters and buffers by PyTorch's names, `layers.conv.weight`, in the order of the file.
 * @throws InputError if modules hold themselves, or there is no tensor.
 */
export function moduleTensors(root: PickledObject, where: string): StateDict {
  const tensors = new Map<string, PickledTensor>();
  let visited = 0;
  const visit = (module: PickledObject, prefix: string, depth: number): void => {
    if (!(module.state instanceof Map)) return;
    for (const [key, value] of module.state) {
      visited++;
      const name = `${prefix}${String(key)}`;
      if (depth > deepestModule || visited > mostValues || name.length > longestName) {
        throw new InputError(`${where}: its modules are nested too deeply or hold too much; refused`);
      }
      if (value instanceof PickledTensor) tensors.set(name, value);
      else if (isScriptModule(value)) visit(value, `${name}.`, depth + 1);
    }
  };
  visit(root, "", 0);
  if (tensors.size > 0) return tensors;
  throw new InputError(`${where}: expected a TorchScript module with weights, found one without`);
}
