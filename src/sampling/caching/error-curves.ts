/** How much the branches of a model change from one model evaluation to the next ones: measured, or from the file of another run. */

import { InputError, isObject } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { sumOf } from "../../array/reduce.ts";
import { type NamedArrays, readAll } from "../../engine/engine.ts";
import { readJson } from "../../storage/read.ts";

import { noisyBatch, type SamplerRequest, type SamplingLoop } from "../image-sampler.ts";
import type { CacheCurves, CachePlan, ErrorCurves } from "../sampling-settings.ts";
import {
  type BranchKind,
  type BranchOutput,
  branchCounts,
  branchKinds,
  byKind,
  runCached,
  tensorsOf,
} from "./cached-blocks.ts";
import { OLDEST, ProductMeter, pairCount } from "./predictor.ts";

/** A branch output is reused for at most so many model evaluations. */
export const MAX_AGE = 3;

/** Model evaluations later than i, up to {@link MAX_AGE}. */
export const agesAt = (i: number, evaluations: number): number => Math.min(MAX_AGE, evaluations - 1 - i);

type FixedLoop = SamplingLoop & { readonly modelEvaluations: number };

/** Curves of a loop, measured or given. @throws as {@link measureCurves} and {@link givenCurves}. */
export function curvesOf(
  request: SamplerRequest,
  loop: FixedLoop,
  { source, history }: CachePlan,
): CacheCurves | Promise<CacheCurves> {
  if ("images" in source) return measureCurves(request, loop, source.images, history);
  const { process, settings, modelEvaluations: evaluations } = loop;
  const branches = new Map<string, BranchOutput>();
  loop.outputs(request.batch, runCached(new Set(), branches, request.runBlock));
  const expected = { evaluations, branches: branchCounts(branches), process, settings };
  return givenCurves(source.curves, expected, history > 1);
}

/** Few rows at once, because the outputs of {@link MAX_AGE} + 1 model evaluations are kept; one row would take other kernels. */
const BATCH = 2;

/** The same for every seed: a schedule belongs to a model and how it is sampled. */
const noiseKey = { seed: 0, purpose: "cache calibration" } as const;

/**
 * Samples `images` images without a cache, of classes all over the range, and measures their branches.
 * @throws InputError where no block runs, or numbers are not finite; the signal's reason if aborted.
 */
async function measureCurves(
  request: SamplerRequest,
  loop: FixedLoop,
  images: number,
  history: number,
): Promise<CacheCurves> {
  const { model, engine, weights, signal } = request;
  const { process, settings, modelEvaluations: evaluations } = loop;
  const found = new Map<string, BranchOutput>();
  const outputs = loop.outputs(BATCH, runCached(new Set(), found, request.runBlock));
  const branches = branchCounts(found);
  const tensors = tensorsOf(found);
  const program = await engine.compile({ outputs: { ...outputs, ...tensors } }, { constants: weights });
  const kinds = new Map(Array.from(found, ([name, { kind }]) => [name, kind]));
  const meter = new CurveMeter(kinds, evaluations);
  const products = history > 1 ? new ProductMeter(kinds, evaluations) : undefined;
  /** Branch outputs of the last evaluations, the newest first. */
  let ages: NamedArrays[] = [];
  try {
    for (let first = 0; first < images; first += BATCH) {
      const rows = Math.min(BATCH, images - first);
      const y = Int32Array.from({ length: BATCH }, (_, row) =>
        Math.floor((((first + row) % images) * model.config.numClasses) / images),
      );
      let evaluation = 0;
      ages = [];
      await loop.sample(
        async (inputs) => {
          signal?.throwIfAborted();
          const results = Object.entries(await program.run(inputs));
          const deltas = await readAll(Object.fromEntries(results.filter(([name]) => name in tensors)));
          ages.slice(0, MAX_AGE).forEach((before, i) => {
            meter.compare(evaluation - i - 1, i + 1, [before, deltas], BATCH, rows);
          });
          products?.add(evaluation, [deltas, ...ages], BATCH, rows);
          ages = [deltas, ...ages].slice(0, products ? OLDEST : MAX_AGE);
          evaluation++;
          return Object.fromEntries(results.filter(([name]) => !(name in tensors)));
        },
        noisyBatch(model.config, { first, rows, y }, noiseKey),
      );
    }
  } finally {
    await program.release();
  }
  return {
    measured: { images, evaluations, branches, process, settings },
    errors: meter.errors(),
    ...(products && { products: products.products() }),
  };
}

/** A ratio to an output that is zero counts as this. */
const LARGEST = 1e6;
const DIGITS = 6;

/** Values by the names of branches, each [N, …]: rows of B images, or of B images with their labels and B without. */
type BranchArrays = Readonly<Record<string, NDArray>>;

/** Means of relative differences, gathered pair by pair. */
export class CurveMeter {
  readonly #kinds: ReadonlyMap<string, BranchKind>;
  readonly #evaluations: number;
  readonly #sums = new Map<string, { sum: number; count: number }>();

  /** `kinds` by the names of branches. */
  constructor(kinds: ReadonlyMap<string, BranchKind>, evaluations: number) {
    this.#kinds = kinds;
    this.#evaluations = evaluations;
  }

  /**
   * Compares model evaluation i with the one `age` later; images from `rows` on are padding.
   * @throws InputError for numbers that are not finite.
   */
  compare(
    i: number,
    age: number,
    [from, to]: readonly [BranchArrays, BranchArrays],
    batch: number,
    rows: number,
  ): void {
    for (const [name, kind] of this.#kinds) {
      const ratios = rowRatios(from[name]!, to[name]!).filter((_, row) => row % batch < rows);
      const total = sumOf(ratios);
      if (!Number.isFinite(total)) {
        throw new InputError(
          `caching: ${name} is not finite at evaluation ${i} or ${i + age}; sample without \`cache\` to see what the model draws`,
        );
      }
      const key = `${kind} ${i} ${age}`;
      const { sum, count } = this.#sums.get(key) ?? { sum: 0, count: 0 };
      this.#sums.set(key, { sum: sum + total, count: count + ratios.length });
    }
  }

  /** Rounded, so that the last bits of another machine change no schedule. */
  errors(): ErrorCurves {
    const mean = (kind: BranchKind, i: number, age: number): number => {
      const { sum, count } = this.#sums.get(`${kind} ${i} ${age}`)!;
      return Number((sum / count).toPrecision(DIGITS));
    };
    const present = new Set(this.#kinds.values());
    return byKind((kind) =>
      Array.from({ length: present.has(kind) ? this.#evaluations : 0 }, (_, i) =>
        Array.from({ length: agesAt(i, this.#evaluations) }, (_age, k) => mean(kind, i, k + 1)),
      ),
    );
  }
}

/** ‖a − b‖₁ / ‖a‖₁ of each row. */
function rowRatios(a: NDArray, b: NDArray): number[] {
  const rows = a.shape[0]!;
  const size = a.size / rows;
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  return Array.from({ length: rows }, (_, row) => {
    let [difference, norm] = [0, 0];
    for (let j = row * size; j < (row + 1) * size; j++) {
      norm += Math.abs(x[j]!);
      difference += Math.abs(x[j]! - y[j]!);
    }
    if (difference === 0) return 0;
    return norm === 0 ? LARGEST : difference / norm;
  });
}

type Json = Readonly<Record<string, unknown>>;

/** What curves must have been measured with. */
type Expected = Omit<CacheCurves["measured"], "images">;

/**
 * Curves that were measured before. A file holds them alone, or as `cache.curves` beside all else that a run records, as
 * `samples.json` does.
 * @throws InputError for a file that has none, or curves of other settings.
 */
function givenCurves(source: CacheCurves | string, expected: Expected, needsProducts: boolean): CacheCurves {
  const where = typeof source === "string" ? source : "the curves that were given";
  const found = typeof source === "string" ? curvesWithin(readJson(source)) : source;
  const measured = objectOf(found?.measured);
  if (!found || !measured || !objectOf(found.errors)) {
    throw new InputError(
      `caching: expected error curves in ${where}, found none; give the samples.json of a run with \`cache\``,
    );
  }
  for (const [key, value] of Object.entries(expected)) {
    const difference = differenceOf(key, measured[key], value);
    if (difference) {
      throw new InputError(
        `caching: ${where} was measured with ${difference}; sample without \`cacheCurves\` to measure again`,
      );
    }
  }
  const curves = found as unknown as CacheCurves;
  checkErrors(curves, expected, where);
  if (needsProducts) checkProducts(curves, expected, where);
  return curves;
}

const objectOf = (json: unknown): Json | undefined => (isObject(json) ? json : undefined);

/** The object with `errors`, wherever a run's record has it. */
function curvesWithin(json: unknown): Json | undefined {
  const file = objectOf(json);
  const record = objectOf(file?.derived) ?? file;
  return objectOf(objectOf(record?.cache)?.curves) ?? file;
}

/** `steps "25", not "50"`, of the first field that differs. */
function differenceOf(name: string, found: unknown, expected: unknown): string | undefined {
  const [a, b] = [objectOf(found), objectOf(expected)];
  if (a && b) {
    for (const key of new Set([...Object.keys(b), ...Object.keys(a)])) {
      const difference = differenceOf(key, a[key], b[key]);
      if (difference) return difference;
    }
    return undefined;
  }
  const [text, wanted] = [JSON.stringify(found) ?? "nothing", JSON.stringify(expected) ?? "nothing"];
  return text === wanted ? undefined : `${name} ${text}, not ${wanted}`;
}

function checkErrors({ errors }: CacheCurves, { evaluations, branches }: Expected, where: string): void {
  for (const kind of branchKinds) {
    const length = branches[kind] > 0 ? evaluations : 0;
    const curve: unknown = errors[kind];
    const isCurve = (ages: unknown, i: number) =>
      Array.isArray(ages) &&
      ages.length === agesAt(i, length) &&
      ages.every((error) => typeof error === "number" && error >= 0);
    if (!Array.isArray(curve) || curve.length !== length || !curve.every(isCurve)) {
      throw new InputError(
        `caching: expected ${length} lists of errors of ${kind} in ${where}, found something else; measure them again`,
      );
    }
  }
}

function checkProducts({ products }: CacheCurves, { evaluations, branches }: Expected, where: string): void {
  const isWhole = branchKinds.every((kind) => {
    const lists: unknown = products?.[kind];
    if (!Array.isArray(lists) || lists.length !== (branches[kind] > 0 ? evaluations : 0)) return false;
    return lists.every(
      (list: unknown, i) => Array.isArray(list) && list.length === pairCount(i) && list.every(Number.isFinite),
    );
  });
  if (isWhole) return;
  throw new InputError(
    `caching: ${where} was measured without \`cacheHistory\`; sample without \`cacheCurves\` to measure again`,
  );
}
