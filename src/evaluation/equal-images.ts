/** Which models may be compared by what they draw. */
import { InputError } from "../array/input-error.ts";
import type { ModelFile } from "../weights/model-file.ts";

/** @throws InputError for models of other images, classes or processes, saying what each has. */
export function requireEqualImages(
  command: string,
  a: Pick<ModelFile, "model" | "path">,
  b: Pick<ModelFile, "model" | "path">,
): void {
  const facts = ({ model: { family, config } }: Pick<ModelFile, "model">) =>
    `${config.inChannels} × ${config.inputSize} × ${config.inputSize}, ${config.numClasses} classes, process ${family.process}`;
  if (facts(a) === facts(b)) return;
  throw new InputError(
    `${command}: expected models of the same images, found ${facts(a)} in ${a.path} and ${facts(b)} in ${b.path}; ` +
      "choose others",
  );
}
