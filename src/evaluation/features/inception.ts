/** Inception-v3 of 2015-12-05 as a feature network: what FID, sFID and the Inception Score are computed from. */
import { InputError } from "../../array/input-error.ts";
import { float32, type NDArray, zeros } from "../../array/ndarray.ts";
import { resizeBilinear, resizeExact } from "../../data/images/resample.ts";
import { type Engine, runAndRead } from "../../engine/engine.ts";
import type { StoredTensor } from "../../formats/weight-file.ts";
import { input, softmax } from "../../graph/build.ts";
import { inception, inceptionSize } from "../../models/inception/inception.ts";
import { foldedWeights, inceptionFileSpecs, nvidiaNames } from "../../models/inception/weights.ts";
import { Params } from "../../nn/params.ts";
import { type OpenedWeights, openWeights, weightsSha256 } from "../../weights/open-weights.ts";
import { readWeight } from "../../weights/read-weights.ts";
import { checkWeights } from "../../weights/weight-specs.ts";
import type { FeatureNetwork, ImageFeatures } from "./extract-features.ts";

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
  const program = await engine.compile({ outputs }, { constants: weights });
  const x = zeros("float32", [ROWS, 3, inceptionSize, inceptionSize]);
  return {
    name: inceptionName,
    settings: { weights: sha256, published: isPublished, resize },
    release: () => program.release(),
    async features(images) {
      const n = countOf(images);
      const found = Object.fromEntries(
        Object.entries(outputs).map(([name, { shape }]) => [name, zeros("float32", [n, shape[1] as number])]),
      );
      for (let first = 0; first < n; first += ROWS) {
        const rows = Math.min(ROWS, n - first);
        writeInceptionInput(images.rows(first, first + rows), resize, x);
        const results = await runAndRead(program, { x });
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
  throw new InputError(`Inception-v3 takes images [N, H, W, 3], found [${shape}]`);
}

/** Inception-v3 in memory. */
export interface LoadedInception {
  /** The network's own, with the normalisations folded in. */
  readonly weights: ReadonlyMap<string, NDArray<"float32">>;
  readonly sha256: string;
  /** Whether it is the file of pytorch-fid and torch-fidelity, byte for byte. */
  readonly isPublished: boolean;
}

/** `pt_inception-2015-12-05-6726825d.pth`: torch's hub puts the start of a file's SHA-256 into its name. */
const publishedStart = "6726825d";

/**
 * Reads `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid, `inception-2015-12-05.pt` of NVIDIA, or the same weights in
 * another format.
 * @throws InputError for damaged files, or listing all weights that are missing, unexpected or of another shape.
 */
export async function loadInception(path: string): Promise<LoadedInception> {
  const opened = await openWeights(path, { part: "inception" });
  const weights = await inceptionWeights(opened);
  const sha256 = await weightsSha256(opened);
  return { weights, sha256, isPublished: sha256.startsWith(publishedStart) };
}

/** The network's weights from a file's tensors. @throws InputError if they do not fit the network. */
export async function inceptionWeights({
  tensors,
  path,
}: Pick<OpenedWeights, "tensors" | "path">): Promise<Map<string, NDArray<"float32">>> {
  const specs = inceptionFileSpecs();
  // Counters of batches seen in training, which PyTorch's normalisation has and the network does not.
  const found = new Map([...tensors].filter(([name]) => !name.endsWith(".num_batches_tracked")));
  const theirs = isNvidias(found) ? nvidiaNames() : new Map(specs.map(({ name }) => [name, name]));
  const expected = specs.flatMap((spec) => {
    const name = theirs.get(spec.name);
    return name === undefined ? [] : [{ ...spec, name }];
  });
  checkWeights(expected, found, `${path} (expected Inception-v3 of 2015-12-05)`);
  const file = new Map<string, NDArray<"float32">>();
  for (const { name, shape } of specs) {
    const own = theirs.get(name);
    file.set(name, own === undefined ? ones(shape) : await readWeight(found.get(own)!));
  }
  return foldedWeights(file);
}

/** Its normalisations have no weights, as if they were 1. */
const isNvidias = (found: ReadonlyMap<string, StoredTensor>): boolean =>
  !found.has("fc.weight") && found.has("output.weight");

const ones = (shape: readonly number[]) => float32(new Float32Array(shape[0]!).fill(1), shape);

/** `tf` is that of ADM's evaluator and of TTUR's FID, `clean` that of clean-fid, `torch` that of pytorch-fid. */
export const inceptionResizings = ["tf", "clean", "torch"] as const;
export type InceptionResizing = (typeof inceptionResizings)[number];

/** One image [H, W, 3] → planes [3, 299, 299], about [−1, 1). */
type Resize = (image: NDArray<"uint8">) => NDArray<"float32">;

const size = inceptionSize;

const resizings: { readonly [K in InceptionResizing]: Resize } = {
  tf: (image) => centred(resizeBilinear(image, size, size, "corners")),
  clean: (image) => centred(clipped(resizeExact(image, size, size, "bicubic"))),
  torch: (image) => doubled(resizeBilinear(inUnit(image), size, size, "centres")),
};

/** Writes images [N, H, W, 3] to the first N of x [≥ N, 3, 299, 299]. */
export function writeInceptionInput(images: NDArray<"uint8">, resizing: InceptionResizing, x: NDArray<"float32">) {
  const [n, ...shape] = images.shape as readonly [number, number, number, number];
  const length = 3 * size * size;
  for (let i = 0; i < n; i++) {
    x.data.set(resizings[resizing](images.rows(i, i + 1).reshape(shape)).data, i * length);
  }
}

/** What the bicubic filter puts beyond black and white is cut off, as clean-fid does it. */
function clipped(planes: NDArray<"float32">): NDArray<"float32"> {
  for (let i = 0; i < planes.size; i++) planes.data[i] = Math.min(255, Math.max(0, planes.data[i]!));
  return planes;
}

/** (x − 128) / 128 */
function centred(planes: NDArray<"float32">): NDArray<"float32"> {
  for (let i = 0; i < planes.size; i++) planes.data[i] = Math.fround(planes.data[i]! - 128) / 128;
  return planes;
}

/** 2 x − 1 */
function doubled(planes: NDArray<"float32">): NDArray<"float32"> {
  for (let i = 0; i < planes.size; i++) planes.data[i] = 2 * planes.data[i]! - 1;
  return planes;
}

function inUnit({ shape, data }: NDArray<"uint8">): NDArray<"float32"> {
  const values = zeros("float32", shape);
  for (let i = 0; i < values.size; i++) values.data[i] = data[i]! / 255;
  return values;
}
