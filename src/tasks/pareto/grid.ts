/** The cells of a study of speed against quality: every depth with every sampler, number of steps and amount of caching. */
import { createHash } from "node:crypto";
import type { Process } from "../../diffusion/process.ts";
import type { SamplingSettings } from "../../sampling/sampling-settings.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { Judgement } from "./score.ts";

/** One model of the depth axis, or some of its blocks. */
export interface DepthPoint {
  /** As charts and tables call it: "14 blocks". */
  readonly name: string;
  readonly file: ModelFile;
  readonly process: Process;
  /** Only these blocks run. */
  readonly kept?: readonly number[];
}

/** The values of each axis; a cell is one of each. */
export interface ParetoAxes {
  readonly depths: readonly DepthPoint[];
  /** What differs between cells of one depth. */
  readonly samplings: readonly SamplingSettings[];
}

/** What all cells share. */
export interface ParetoCommon {
  readonly seed: number;
  /** Images of each cell. */
  readonly count: number;
  /** Images drawn together. */
  readonly batch: number;
  readonly threads: number;
  /** How images are judged. */
  readonly judgement: Judgement;
}

export interface Cell {
  /** Names its file: short words, and a hash of all that decides its numbers. */
  readonly id: string;
  readonly depth: DepthPoint;
  readonly sampling: SamplingSettings;
  readonly common: ParetoCommon;
}

/**
 * All cells, those of one sampling beside each other: a machine that gets slower during the study does not slow one
 * depth more than another.
 */
export function paretoCells({ depths, samplings }: ParetoAxes, common: ParetoCommon): Cell[] {
  return samplings.flatMap((sampling) =>
    depths.map((depth) => ({ id: cellId(depth, sampling, common), depth, sampling, common })),
  );
}

function cellId({ file, kept, process }: DepthPoint, sampling: SamplingSettings, common: ParetoCommon): string {
  const blocks = kept?.length ?? file.model.config.depth;
  const ordered = Object.entries(sampling).sort(([a], [b]) => (a < b ? -1 : 1));
  const decides = JSON.stringify([
    file.sha256,
    file.weights,
    file.model.config,
    kept ?? null,
    process,
    ordered,
    common,
  ]);
  const hash = createHash("sha256").update(decides).digest("hex").slice(0, 10);
  const cache = sampling.cache === undefined ? undefined : `c${sampling.cache}`;
  const words = [`d${blocks}`, sampling.sampler, sampling.steps, cache].filter((word) => word !== undefined);
  return `${words.map((word) => word.replaceAll(/[^a-z0-9+.]+/gi, "-")).join("_")}_${hash}`;
}
