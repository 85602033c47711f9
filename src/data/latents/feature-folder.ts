/**
 * The latents of the original (`extract_features.py` of fast-DiT and TinyFusion): folders `…_features` and `…_labels`
 * with a `.npy` file for each image, drawn once and scaled already.
 */
import { createHash } from "node:crypto";
import { basename, dirname, join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type NDArray, stackedRows } from "../../array/ndarray.ts";
import { asFloat32 } from "../../formats/float16.ts";
import { decodeNpy } from "../../formats/npy.ts";
import { exists, listFolder, withByteRanges } from "../../storage/read.ts";
import type { TrainingSet } from "../training-set.ts";

/** Files whose contents identify the set, beside the names of all: hashing a million files would take too long. */
const hashedFiles = 64;

/**
 * Opens such a set: `path` is the folder of features, or the one that holds it beside its labels. Files are read when
 * they are asked for, and nothing is drawn: row i is the file's latent [C, h, w].
 * @throws InputError unless every file of features has one of labels of the same name.
 */
export async function openFeatureFolder(path: string, numClasses: number): Promise<TrainingSet> {
  const { features, labels } = foldersAt(path);
  const names = arrayNames(features);
  if (names.length === 0) throw new InputError(`${features}: expected files NAME.npy, found none`);
  const labelNames = new Set(arrayNames(labels));
  const alone = names.find((name) => !labelNames.has(name));
  if (alone !== undefined) throw new InputError(`${join(labels, alone)}: missing; ${features} has a file of this name`);
  if (labelNames.size > names.length) {
    throw new InputError(`${labels} has ${labelNames.size} labels, ${features} only ${names.length} latents`);
  }
  const shape = (await latentIn(join(features, names[0]!))).shape as readonly [number, number, number];
  return {
    size: names.length,
    numClasses,
    shape,
    sha256: await sampledSha256([features, labels], names),
    async read(examples) {
      const rows = Array.from(examples, async (example) => {
        const name = names[example];
        if (name === undefined) throw new RangeError(`example ${example} does not exist`);
        const latent = await latentIn(join(features, name), shape);
        return { latent, label: await labelIn(join(labels, name), numClasses) };
      });
      const read = await Promise.all(rows);
      return {
        images: stackedRows(read.map(({ latent }) => latent.reshape([1, ...shape]))),
        labels: Int32Array.from(read, ({ label }) => label),
      };
    },
  };
}

/** Whether `openFeatureFolder` has something to open here. */
export function isFeatureFolder(path: string): boolean {
  const isHere = /_features$/.test(basename(path)) && exists(path);
  return isHere || (exists(path) && featureFolders(path).length > 0);
}

const featureFolders = (path: string): string[] =>
  listFolder(path).flatMap(({ name }) => (/_features$/.test(name) ? [name] : []));

function foldersAt(path: string): { features: string; labels: string } {
  const isHere = /_features$/.test(basename(path));
  const found = isHere ? [basename(path)] : featureFolders(path);
  if (found.length !== 1) {
    const names = found.length > 0 ? found.join(", ") : "none";
    throw new InputError(`${path}: expected one folder NAME_features beside NAME_labels, found ${names}`);
  }
  const parent = isHere ? dirname(path) : path;
  return { features: join(parent, found[0]!), labels: join(parent, found[0]!.replace(/_features$/, "_labels")) };
}

const arrayNames = (folder: string): string[] =>
  listFolder(folder).flatMap(({ name }) => (name.endsWith(".npy") && !name.startsWith(".") ? [name] : []));

/** A latent [C, h, w]; the original keeps the axis of its batch of one. */
async function latentIn(path: string, expected?: readonly number[]): Promise<NDArray<"float32">> {
  const array = await arrayIn(path);
  const shape = array.shape.length === 4 && array.shape[0] === 1 ? array.shape.slice(1) : array.shape;
  const fits = expected ? String(shape) === String(expected) : shape.length === 3 && array.size > 0;
  if (!fits || !/float/.test(array.dtype)) {
    const wanted = expected ? `[${expected}]` : "[C, h, w]";
    throw new InputError(
      `${path}: expected a latent ${wanted} of floating-point numbers, found ${array.dtype} [${array.shape}]`,
    );
  }
  return asFloat32(array).reshape(shape);
}

async function labelIn(path: string, numClasses: number): Promise<number> {
  const { size, dtype, shape, data } = await arrayIn(path);
  if (size !== 1 || !/int/.test(dtype)) {
    throw new InputError(`${path}: expected one whole number, the class, found ${dtype} [${shape}]`);
  }
  const label = Number(data[0]);
  if (label >= 0 && label < numClasses) return label;
  throw new InputError(`${path}: label ${label} is outside the classes 0 to ${numClasses - 1}`);
}

const arrayIn = async (path: string): Promise<NDArray> => decodeNpy(await bytesOf(path), path);

const bytesOf = (path: string): Promise<Uint8Array> => withByteRanges(path, ({ size, read }) => read(0, size));

/** SHA-256 of all names, and of the contents of some files spread over them. */
async function sampledSha256(folders: readonly string[], names: readonly string[]): Promise<string> {
  const hash = createHash("sha256").update(names.join("\n"));
  for (let i = 0; i < Math.min(names.length, hashedFiles); i++) {
    const name = names[Math.floor((i * names.length) / Math.min(names.length, hashedFiles))]!;
    for (const folder of folders) hash.update(await bytesOf(join(folder, name)));
  }
  return hash.digest("hex");
}
