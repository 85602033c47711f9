/** Inception-v3 of 2015-12-05 as a network that looks at images: what FID, sFID and the Inception Score are computed from. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, zeros } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { input, softmax } from "../../graph/build.ts";
import { inception, inceptionSize } from "../../models/inception/inception.ts";
import { Params } from "../../nn/params.ts";
import type { FeatureNetwork, ImageFeatures } from "./feature-network.ts";
import { type InceptionResizing, writeInceptionInput } from "./inception-input.ts";
import { type LoadedInception, loadInception } from "./inception-weights.ts";

/** Written beside everything computed from these features. */
export const inceptionName = "inception-v3-2015-12-05";

export interface InceptionOptions {
  /** The file of pytorch-fid, torch-fidelity, clean-fid or NVIDIA. */
  readonly weights: string;
  /** How images become 299 × 299; ADM's way by default. */
  readonly resize?: InceptionResizing;
}

/** Reads the weights and compiles the network. @throws InputError for a file that does not hold them. */
export async function openInception(
  engine: Engine,
  { weights, resize = "tf" }: InceptionOptions,
): Promise<FeatureNetwork> {
  return compileInception(engine, await loadInception(weights), resize);
}

/** Images of one run; the last run is padded, so that an image's features do not depend on how many there are. */
const ROWS = 8;

/** The network with weights that were read. */
export async function compileInception(
  engine: Engine,
  { weights, sha256, isPublished }: LoadedInception,
  resize: InceptionResizing,
): Promise<FeatureNetwork> {
  const { pooled, spatial, logits } = inception(new Params(), input("x", [ROWS, 3, inceptionSize, inceptionSize]));
  const outputs = { pooled, spatial, probabilities: softmax(logits) };
  const constants = new Map(Array.from(weights, ([name, value]) => [name, { name, value }]));
  const session = await engine.compile({ outputs }, { constants, optimize: true });
  const x = zeros("float32", [ROWS, 3, inceptionSize, inceptionSize]);
  return {
    name: inceptionName,
    settings: { weights: sha256, published: isPublished, resize },
    release: () => session.release(),
    async features(images) {
      const n = countOf(images);
      const found = Object.fromEntries(
        Object.entries(outputs).map(([name, { shape }]) => [name, zeros("float32", [n, shape[1] as number])]),
      );
      for (let first = 0; first < n; first += ROWS) {
        const rows = Math.min(ROWS, n - first);
        writeInceptionInput(images.rows(first, first + rows), resize, x);
        const results = await session.run({ x });
        for (const [name, { data, shape }] of Object.entries(found)) {
          data.set(results[name]!.rows(0, rows).data as Float32Array, first * shape[1]!);
        }
      }
      return found as unknown as ImageFeatures;
    },
  };
}

/** @throws InputError unless they are [N, H, W, 3]. */
function countOf({ shape }: NDArray): number {
  const [n = 0, height = 0, width = 0, channels] = shape;
  if (shape.length === 4 && channels === 3 && height > 0 && width > 0) return n;
  throw new InputError(`Inception-v3 looks at images [N, H, W, 3], found [${shape}]`);
}
