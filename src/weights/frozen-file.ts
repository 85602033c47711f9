/** Weights that stay where they are: a model file as external data of a session. */
import { basename, dirname, resolve } from "node:path";
import { InputError } from "../array/input-error.ts";
import { readSafetensorsHeader } from "../formats/safetensors.ts";
import type { CompileOptions } from "../onnx/session.ts";
import { openByteRanges } from "../storage/read.ts";

/**
 * The float32 weights of a safetensors file for `Engine.compile`: the engine maps the file, nothing is read here but
 * its header. `prefix` is put before each name.
 * @throws InputError for a damaged file, or one that stores another type than float32.
 */
export async function frozenFile(
  path: string,
  prefix = "",
): Promise<Required<Pick<CompileOptions, "frozen" | "frozenFolder">>> {
  const source = await openByteRanges(path);
  try {
    const { entries } = await readSafetensorsHeader(source);
    const other = entries.find(({ dtype }) => dtype !== "float32");
    if (other) throw new InputError(`${path}: frozen weights must be float32, ${other.name} is ${other.dtype}`);
    const location = basename(path);
    const frozen = entries.map(({ name, dtype, shape, offset, byteLength }) => {
      const external = { location, offset, length: byteLength };
      return [prefix + name, { name: prefix + name, dtype, shape, external }] as const;
    });
    return { frozen: new Map(frozen), frozenFolder: resolve(dirname(path)) };
  } finally {
    await source.close();
  }
}
