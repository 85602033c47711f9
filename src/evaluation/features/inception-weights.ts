/** The weights of Inception-v3 from the files that people have: pytorch-fid's, torch-fidelity's, clean-fid's and NVIDIA's. */
import { float32, type NDArray } from "../../array/ndarray.ts";
import type { StoredTensor } from "../../formats/weight-file.ts";
import { foldedWeights, inceptionFileSpecs, nvidiaNames } from "../../models/inception/weights.ts";
import { type OpenedWeights, openWeights, weightsSha256 } from "../../weights/open-weights.ts";
import { readWeight } from "../../weights/placed-weights.ts";
import { checkWeights } from "../../weights/weight-specs.ts";

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
