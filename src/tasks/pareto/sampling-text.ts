/** How people call the sampling of a cell. */
import type { CellResult } from "./cell.ts";
import { savesNothing } from "./same-work.ts";
import type { TimedCell } from "./study.ts";

interface Named {
  readonly sampler?: string;
  readonly steps: string;
  readonly cache?: number;
}

const namedOf = ({ settings }: Pick<CellResult, "settings">): Named => settings as unknown as Named;

const withCache = (text: string, { cache = 0 }: Named): string => (cache === 0 ? text : `${text}, cache ${cache}`);

/** What differs between the cells of one depth, in a few words: "ddim10", "dpm++2m 10, cache 0.1". */
export function samplingText(result: Pick<CellResult, "settings">): string {
  const named = namedOf(result);
  const { sampler, steps } = named;
  return withCache(sampler === undefined || steps.startsWith(sampler) ? steps : `${sampler} ${steps}`, named);
}

/** The same as a label: "10 steps, cache 0.1", with the sampler if it is not the usual one. */
export function shortSamplingText(result: Pick<CellResult, "settings">, usual: string | undefined): string {
  const named = namedOf(result);
  const count = /^(?:ddim)?(\d+)$/.exec(named.steps)?.[1] ?? named.steps;
  const steps = `${count} ${count === "1" ? "step" : "steps"}`;
  return withCache(named.sampler === usual ? steps : `${named.sampler}, ${steps}`, named);
}

/** The sampler that most of `results` have; undefined for those of processes that draw in one way. */
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
