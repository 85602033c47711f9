/** The picture of a study: quality against time, a colour for each depth, the front labelled. */
import { scatterChart } from "../../report/scatter-chart.ts";
import { samplingText, shortSamplingText, usualSampler } from "./sampling-text.ts";
import type { TimedCell } from "./study.ts";

/** Scores that differ by more than this stand on a logarithmic axis: a front lies at their lower end. */
const WIDE = 3;

/** Draws the cells; `front` are the ids of those on the front. Cells that do the work of another one are left out. */
export function frontChart(results: readonly TimedCell[], front: readonly string[]): string {
  const drawn = results.filter(({ sameWorkAs }) => sameWorkAs === undefined);
  const onFront = drawn.filter(({ id }) => front.includes(id));
  const usual = usualSampler(onFront);
  const isAlone = onFront.every(({ settings: { sampler } }) => sampler === usual);
  const names = [...new Set(drawn.map(({ model }) => model.name))];
  const scores = drawn.map(({ score }) => score.estimate).filter((value) => value > 0);
  const [{ metric, settings, seconds }] = results as [TimedCell];
  const rounds = seconds.rounds === 1 ? "one round" : `median and range of ${seconds.rounds} rounds`;
  return scatterChart({
    title: `${metric} against seconds per image`,
    xLabel: `seconds per image, ${rounds}`,
    yLabel: `${metric}, n = ${settings.count}, ± one standard error`,
    series: names.map((name) => ({
      name,
      points: drawn
        .filter(({ model }) => model.name === name)
        .map((result) => ({
          ...{ x: result.secondsPerImage, range: [result.seconds.least, result.seconds.most] },
          ...{ y: result.score.estimate, error: result.score.standardError },
          ...{ label: samplingText(result), shortLabel: shortSamplingText(result, usual) },
          isMarked: front.includes(result.id),
        })),
    })),
    lineName: isAlone ? "front" : `front, ${usual} where no other is named`,
    logX: true,
    logY: Math.max(...scores) > WIDE * Math.min(...scores),
  });
}
