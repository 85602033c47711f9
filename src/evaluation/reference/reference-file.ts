/**
 * Reference files: `.npz` with `mu` and `sigma`, `mu_s` and `sigma_s` for the spatial features, as the ADM evaluator reads
 * them. Ours also hold features and small copies of some images, and a `description` (JSON).
 */
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { encodeNpz, openNpz } from "../../formats/npz.ts";
import type { StoredTensor, WeightFile } from "../../formats/weight-file.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { fileBytes } from "../../storage/read.ts";
import type { Gaussian } from "../metrics/gaussian-stats.ts";
import type { Reference } from "./reference.ts";

/** Whether an opened `.npz` holds statistics; else it may hold images. */
export const holdsStatistics = ({ tensors }: WeightFile): boolean => tensors.has("mu") || tensors.has("sigma");

/**
 * The reference in a `.npz` file of statistics.
 * @throws InputError for missing, misshaped or non-finite statistics or features, or a damaged description.
 */
export async function readReferenceFile(path: string): Promise<Reference> {
  const { tensors } = await openNpz(await fileBytes(path));
  const pooled = await gaussian(tensors, "mu", "sigma", path);
  if (!pooled) throw new InputError(`${path}: expected arrays mu and sigma, found ${[...tensors.keys()].join(", ")}`);
  const spatial = await gaussian(tensors, "mu_s", "sigma_s", path);
  const dimension = pooled.mean.length;
  const features = await typed(tensors.get("features"), "float32", [-1, dimension], path);
  if (features) requireFinite(features, `${path}: features`);
  const pictures = features && (await typed(tensors.get("pictures"), "uint8", [features.shape[0]!, -1, -1, 3], path));
  return {
    name: path,
    pooled,
    ...(spatial && { spatial }),
    ...(features && { features }),
    ...(pictures && { pictures }),
    ...(await described(tensors.get("description"), path)),
  };
}

/** Writes a reference. Other programs find `mu`, `sigma`, `mu_s` and `sigma_s` in it. */
export async function writeReferenceFile(path: string, reference: Reference): Promise<void> {
  const { pooled, spatial, features, pictures, name, network, isNetworkAssumed, count, size, isLossy } = reference;
  const metadata = { source: name, network, isNetworkAssumed, count, size, isLossy };
  const description = new TextEncoder().encode(JSON.stringify(metadata));
  const arrays = new Map<string, NDArray>([
    ...gaussianArrays("mu", "sigma", pooled),
    ...(spatial ? gaussianArrays("mu_s", "sigma_s", spatial) : []),
    ...(features ? [["features", features] as const] : []),
    ...(pictures ? [["pictures", pictures] as const] : []),
    ["description", new NDArray("uint8", [description.length], description)],
  ]);
  await writeAtomically(path, encodeNpz(arrays));
}

function gaussianArrays(
  mean: string,
  covariance: string,
  { mean: mu, covariance: sigma }: Gaussian,
): [string, NDArray][] {
  const d = mu.length;
  return [
    [mean, new NDArray("float64", [d], mu)],
    [covariance, new NDArray("float64", [d, d], sigma)],
  ];
}

type Tensors = WeightFile["tensors"];

async function gaussian(tensors: Tensors, mu: string, sigma: string, path: string): Promise<Gaussian | undefined> {
  const [first, second] = [tensors.get(mu), tensors.get(sigma)];
  if (!first && !second) return undefined;
  const [d] = first?.shape ?? [];
  if (!first || !second || first.shape.length !== 1 || String(second.shape) !== String([d, d])) {
    const found = [first, second].map((x) => (x ? `[${x.shape}]` : "none")).join(" and ");
    throw new InputError(`${path}: expected ${mu} [d] and ${sigma} [d, d], found ${found}`);
  }
  const [mean, covariance] = [await doubles(first, path), await doubles(second, path)];
  requireFinite({ shape: first.shape, data: mean }, `${path}: ${mu}`);
  requireFinite({ shape: second.shape, data: covariance }, `${path}: ${sigma}`);
  requireCovariance(covariance, mean.length, `${path}: ${sigma}`);
  return { mean, covariance };
}

function requireFinite({ shape, data }: Pick<NDArray<"float32" | "float64">, "shape" | "data">, where: string): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const place = shape.length === 1 ? at : `${Math.floor(at / shape[1]!)}, ${at % shape[1]!}`;
  throw new InputError(`${where}: expected finite numbers, found ${data[at]} at [${place}]; make the file again`);
}

/** Asymmetry beyond rounding in float32 is no covariance. */
const MOST_ASYMMETRY = 1e-4;

function requireCovariance(matrix: Float64Array, d: number, where: string): void {
  let largest = 0;
  for (let i = 0; i < d; i++) {
    if (matrix[i * d + i]! < 0)
      throw new InputError(`${where}: expected variances, found ${matrix[i * d + i]} at ${i}`);
    largest = Math.max(largest, matrix[i * d + i]!);
  }
  for (let i = 0; i < d; i++) {
    for (let j = 0; j < i; j++) {
      if (Math.abs(matrix[i * d + j]! - matrix[j * d + i]!) > MOST_ASYMMETRY * largest) {
        throw new InputError(
          `${where}: expected a symmetric matrix, found other values at [${i}, ${j}] and [${j}, ${i}]`,
        );
      }
    }
  }
}

async function doubles(tensor: StoredTensor, path: string): Promise<Float64Array> {
  if (tensor.dtype !== "float64" && tensor.dtype !== "float32") {
    throw new InputError(`${path}: expected ${tensor.name} in float64 or float32, found ${tensor.dtype}`);
  }
  const { data } = (await tensor.read()) as NDArray<"float64" | "float32">;
  return data instanceof Float64Array ? data : Float64Array.from(data);
}

/** An array of this type; −1 in `shape` is any size but 0. */
async function typed<D extends "float32" | "uint8">(
  tensor: StoredTensor | undefined,
  dtype: D,
  shape: readonly number[],
  path: string,
): Promise<NDArray<D> | undefined> {
  if (!tensor) return undefined;
  const fits =
    tensor.shape.length === shape.length &&
    shape.every((n, axis) => (n < 0 ? tensor.shape[axis]! > 0 : n === tensor.shape[axis]));
  if (tensor.dtype !== dtype || !fits) {
    const wanted = shape.map((n) => (n < 0 ? "any" : n)).join(", ");
    throw new InputError(
      `${path}: expected ${tensor.name} ${dtype} [${wanted}], found ${tensor.dtype} [${tensor.shape}]`,
    );
  }
  return (await tensor.read()) as NDArray<D>;
}

type Described = Pick<Reference, "network" | "isNetworkAssumed" | "count" | "size" | "isLossy">;

async function described(tensor: StoredTensor | undefined, path: string): Promise<Described> {
  if (!tensor) return {};
  const bytes = await typed(tensor, "uint8", [-1], path);
  let json: Described | null;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes!.data));
  } catch {
    throw new InputError(`${path}: expected JSON in its description; the file is damaged`);
  }
  const { network, isNetworkAssumed, count, size, isLossy } = json ?? {};
  const isSize = Array.isArray(size) && size.length === 2 && size.every(Number.isSafeInteger);
  if (typeof network?.name !== "string" || typeof network.settings !== "object" || !network.settings || !isSize) {
    throw new InputError(`${path}: its description names no network or no size; the file is damaged`);
  }
  return {
    network,
    size,
    ...(isNetworkAssumed === true && { isNetworkAssumed }),
    ...(typeof count === "number" && { count }),
    ...(typeof isLossy === "boolean" && { isLossy }),
  };
}
