/** The autoencoders of the fixture: their outputs are stored, their weights are a formula of (name, index). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { float32, type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { hashPurpose } from "../../src/array/random.ts";
import type { LoadedAutoencoder } from "../../src/data/autoencoder/autoencoder.ts";
import { decodeSafetensors } from "../../src/formats/safetensors.ts";
import type { StoredTensor } from "../../src/formats/weight-file.ts";
import type { AutoencoderConfig } from "../../src/models/autoencoder/config.ts";
import { storedAutoencoder } from "../../src/weights/autoencoder-file.ts";
import { readWeights } from "../../src/weights/read-weights.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;

interface Sidecar {
  readonly settings: {
    readonly configs: Readonly<Record<"sd" | "attentive" | "small", Record<string, unknown>>>;
    readonly weights: Readonly<Record<"sd" | "kl16" | "attentive" | "small", Shapes>>;
    /** The original's names of Stable Diffusion's autoencoder → shape and diffusers' name, by diffusers' converter. */
    readonly sd_ldm_names: Readonly<Record<string, readonly [readonly number[], string]>>;
  };
}

const read = (name: string) => readFileSync(join(import.meta.dirname, name));

/** What `scripts/autoencoder-fixture.py` wrote. */
export const { settings } = JSON.parse(read("autoencoder.json").toString("utf8")) as Sidecar;
const { tensors } = decodeSafetensors(new Uint8Array(read("autoencoder.safetensors")));

/** A stored input or output: `sd.image`, `sd.moments`, `sd.latents`, `sd.decoded`, … */
export function stored(name: string): NDArray<"float32"> {
  const found = tensors.get(name);
  if (!found) throw new Error(`fixture autoencoder has no ${name}, only ${[...tensors.keys()].join(", ")}`);
  return found as NDArray<"float32">;
}

/** The file that the weights of a case would be in. */
export function fileOf(shapes: Shapes): Map<string, StoredTensor> {
  const entries = Object.entries(shapes).map(([name, shape]): [string, StoredTensor] => [
    name,
    { name, dtype: "float32", shape, read: async () => formulaWeight(name, shape) },
  ]);
  return new Map(entries);
}

/** What `loadAutoencoder` gives for a file `path` with these tensors. */
export async function readAutoencoder(
  tensors: ReadonlyMap<string, StoredTensor>,
  given: AutoencoderConfig | undefined,
  path: string,
): Promise<LoadedAutoencoder> {
  const stored = storedAutoencoder({ tensors, path }, given);
  return { ...stored, weights: await readWeights(stored.tensors) };
}

/** Uniform numbers from a hash of (name, index), scaled so that activations keep their size: as `formula` in the script. */
export function formulaWeight(name: string, shape: readonly number[]): NDArray<"float32"> {
  const seed = hashPurpose(name);
  const values = new Float32Array(sizeOf(shape));
  const fanIn = sizeOf(shape.slice(1));
  const scale = shape.length > 1 ? Math.sqrt(3 / fanIn) : 0.1;
  const centre = shape.length === 1 && name.endsWith(".weight") ? 1 : 0;
  for (let i = 0; i < values.length; i++) {
    let x = (Math.imul(i, 0x9e3779b9) + seed) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    x ^= x >>> 16;
    values[i] = scale * ((x >>> 8) * 2 ** -23 - 1) + centre;
  }
  return float32(values, shape);
}
