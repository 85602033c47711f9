/** The class for "no label", which guidance asks for and dropped labels become: a model trained with all labels has none. */

import { InputError } from "../array/input-error.ts";
import type { ModelConfig } from "./family.ts";

export const hasNullClass = ({ nullClass }: Pick<ModelConfig, "nullClass">): boolean => nullClass !== false;

/** @throws InputError for a model that was trained without dropping labels; `need` says what asks for them: `--cfg 2`. */
export function requireNullClass(config: Pick<ModelConfig, "nullClass">, need: string, remedy: string): void {
  if (hasNullClass(config)) return;
  throw new InputError(
    `${need} needs a class for "no label", which this model does not have: it was trained without dropping labels; ${remedy}`,
  );
}

/** Settings of sampling for a model: without such a class there is no guidance. @throws InputError where one is asked for. */
export function guidanceFor<S extends { readonly cfgScale?: number }>(
  config: Pick<ModelConfig, "nullClass">,
  settings: S,
): S {
  if (hasNullClass(config)) return settings;
  const { cfgScale = 1 } = settings;
  if (cfgScale !== 1) requireNullClass(config, `guidance of ${cfgScale}`, "use --cfg 1");
  return { ...settings, cfgScale };
}
