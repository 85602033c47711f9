/** Which cells are on the Pareto front, which do the same work, what they are called, and the chart. */
import { scatterChart } from "../../report/scatter-chart.ts";
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import type { CellResult, TimedCell } from "./cell.ts";

/**
 * The points for which no other is at least as fast and at least as good, and better in one of the two; from fast to
 * slow. Of equal points the first stays. Points that are not finite never belong to it.
 */
export function paretoFront<P extends { readonly seconds: number; readonly distance: number }>(
  points: readonly P[],
): P[] {
  const finite = points.filter(({ seconds, distance }) => Number.isFinite(seconds) && Number.isFinite(distance));
  const front: P[] = [];
  for (const point of finite.toSorted((a, b) => a.seconds - b.seconds || a.distance - b.distance)) {
    if (point.distance < (front.at(-1)?.distance ?? Number.POSITIVE_INFINITY)) front.push(point);
  }
  return front;
}

/** The ids of the cells on the front, from fast to slow. Of cells that do the same work one takes part: the others differ by chance. */
export function frontOf(results: readonly TimedCell[]): string[] {
  const points = results
    .filter(({ sameWorkAs }) => sameWorkAs === undefined)
    .map(({ id, seconds, score }) => ({ id, seconds: seconds.median, distance: score.estimate }));
  return paretoFront(points).map(({ id }) => id);
}

/** Whether a cell has a cache that reuses nothing. */
const savesNothing = (result: Pick<CellResult, "derived">): boolean => cacheOf(result)?.savedShare === 0;

/**
 * The cells that compute what another one computes, by id, and the id of that other: the one without a cache, or else the
 * first. Their images are the same, and their times differ by chance only.
 */
export function repeatedCells(results: readonly CellResult[]): ReadonlyMap<string, string> {
  const groups = new Map<string, CellResult[]>();
  for (const result of results) {
    const work = workOf(result);
    groups.set(work, [...(groups.get(work) ?? []), result]);
  }
  return new Map(
    Array.from(groups.values(), (group) => {
      const original = group.find((result) => cacheOf(result) === undefined) ?? group[0]!;
      return group.filter((result) => result !== original).map(({ id }) => [id, original.id] as const);
    }).flat(),
  );
}

/** All that decides what a cell computes. */
function workOf(result: CellResult): string {
  const { sha256, weights, kept } = result.model;
  const { cache: _, cacheImages: __, cacheHistory: ___, ...settings } = result.settings;
  const { computedAt, weights: predictor } = cacheOf(result) ?? {};
  const reuse = savesNothing(result) || !computedAt ? undefined : { computedAt, predictor };
  return JSON.stringify([sha256, weights, kept ?? null, settings, reuse ?? null]);
}

interface Named {
  readonly sampler?: string;
  readonly steps: string;
  readonly cache?: number;
  readonly cacheHistory?: number;
  readonly precision?: string;
}

const namedOf = ({ settings }: Pick<CellResult, "settings">): Named => settings as unknown as Named;

const withRest = (text: string, { cache = 0, cacheHistory = 1, precision }: Named): string =>
  [
    text,
    ...(cache === 0 ? [] : [`cache ${cache}${cacheHistory > 1 ? `, history ${cacheHistory}` : ""}`]),
    ...(precision === undefined ? [] : [precision]),
  ].join(", ");

/** What differs between the cells of one depth, in a few words: "ddim10", "dpm++2m 10, cache 0.1, int8". */
export function samplingText(result: Pick<CellResult, "settings">): string {
  const named = namedOf(result);
  const { sampler, steps } = named;
  return withRest(sampler === undefined || steps.startsWith(sampler) ? steps : `${sampler} ${steps}`, named);
}

/** The same as a label: "10 steps, cache 0.1", with the sampler if it is not the usual one. */
export function shortSamplingText(result: Pick<CellResult, "settings">, usual: string | undefined): string {
  const named = namedOf(result);
  const count = /^(?:ddim)?(\d+)$/.exec(named.steps)?.[1] ?? named.steps;
  const steps = `${count} ${count === "1" ? "step" : "steps"}`;
  return withRest(named.sampler === usual ? steps : `${named.sampler}, ${steps}`, named);
}

/** The sampler of most `results`; undefined for processes with one sampler. */
export function usualSampler(results: readonly CellResult[]): string | undefined {
  const samplers = results.map((result) => namedOf(result).sampler);
  const count = (sampler: string | undefined) => samplers.filter((other) => other === sampler).length;
  return samplers.toSorted((a, b) => count(b) - count(a))[0];
}

/** The sampling of one of `results`, and whether another cell does the same work. */
export function remarkedText(result: TimedCell, results: readonly TimedCell[]): string {
  const other = results.find(({ id }) => id === result.sameWorkAs);
  const remark = savesNothing(result) ? "saves nothing" : other && `same work as ${samplingText(other)}`;
  return remark === undefined ? samplingText(result) : `${samplingText(result)} (${remark})`;
}

/** Scores that differ by a larger factor than this get a logarithmic axis: a front is at their lower end. */
const LARGE_RATIO = 3;

/** Quality against time, a color for each depth, the front labelled. Cells that do the work of another one are left out. */
export function frontChart(results: readonly TimedCell[], front: readonly string[]): string {
  const shown = results.filter(({ sameWorkAs }) => sameWorkAs === undefined);
  const onFront = shown.filter(({ id }) => front.includes(id));
  const usual = usualSampler(onFront);
  const isOnly = onFront.every(({ settings: { sampler } }) => sampler === usual);
  const names = [...new Set(shown.map(({ model }) => model.name))];
  const scores = shown.map(({ score }) => score.estimate).filter((value) => value > 0);
  const [{ metric, settings, seconds }] = results as [TimedCell];
  const rounds = seconds.rounds === 1 ? "one round" : `median and range of ${seconds.rounds} rounds`;
  const pointOf = (result: TimedCell) => ({
    x: result.secondsPerImage,
    range: [result.seconds.least, result.seconds.most] as const,
    y: result.score.estimate,
    error: result.score.standardError,
    label: samplingText(result),
    shortLabel: shortSamplingText(result, usual),
    isMarked: front.includes(result.id),
  });
  return scatterChart({
    title: `${metric} against seconds per image`,
    xLabel: `seconds per image, ${rounds}`,
    yLabel: `${metric}, n = ${settings.count}, ± one standard error`,
    series: names.map((name) => ({ name, points: shown.filter(({ model }) => model.name === name).map(pointOf) })),
    lineName: isOnly ? "front" : `front, ${usual} where no other is named`,
    logX: true,
    logY: Math.max(...scores) > LARGE_RATIO * Math.min(...scores),
  });
}
