/** How fast pruned models draw, as a table. */
import type { Section } from "tinyfusion";
import type { SpeedResult } from "../pipeline/speed-cell.ts";

/** One row a model. */
export function speedSection({ models }: SpeedResult): Section {
  return {
    heading: "Speed",
    kind: "table",
    columns: ["model", "times as fast", "least – most", "ms an image", "GMACs an image", "parameters"],
    rows: models.map(({ name, ratio, least, most, secondsPerImage, macsPerImage, parameters }) => [
      name,
      ratio.toFixed(2),
      `${least.toFixed(2)} – ${most.toFixed(2)}`,
      (1000 * secondsPerImage).toFixed(1),
      (macsPerImage / 1e9).toFixed(2),
      parameters.toLocaleString("en-US"),
    ]),
    caption:
      "They drew batches in turn, with all steps and guidance: the ratio is the middle one of those of each round. Which blocks " +
      "or channels stay does not matter.",
  };
}
