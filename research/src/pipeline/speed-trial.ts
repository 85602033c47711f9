/** A trial of speed: the teacher, half of its blocks and half of its width sample in turn, so that only their ratio matters. */

import { type LoadedModel, median, samplerSpeeds } from "tinyfusion";
import { type Trial, trialFile } from "../trials/trial.ts";
import { type BenchmarkModel, openBenchmark } from "./benchmark.ts";
import type { Budget } from "./budget.ts";
import { anyHalfWidth, everyOther, shallow } from "./students.ts";

export interface SpeedResult {
  readonly models: readonly {
    readonly name: string;
    /** Middle of the rounds; one image with all its steps and guidance. */
    readonly secondsPerImage: number;
    /** How often as fast as the teacher: middle of the ratios of each round, and the least and the largest. */
    readonly ratio: number;
    readonly least: number;
    readonly most: number;
    /** Multiply-accumulates of one image with all its steps and guidance. */
    readonly macsPerImage: number;
    readonly parameters: number;
  }[];
}

/** Images in a batch. */
const BATCH = 32;

/** No weights matter here: which blocks or channels stay is of no account. */
export function speedTrial(
  study: string,
  benchmark: BenchmarkModel,
  { timedRounds: rounds }: Budget,
): Trial<SpeedResult> {
  const [variant, seed] = ["speed", 0];
  return {
    file: trialFile(study, variant, seed),
    study,
    variant,
    seed,
    benchmark: benchmark.name,
    needs: benchmark.needs,
    settings: {
      subject: benchmark.settings,
      sampling: benchmark.sampling,
      batch: BATCH,
      rounds,
      students: ["half depth", "half width"],
    },
    // Half the depth and half the width take about a half each.
    work: { images: 4 * BATCH * (rounds + 1) },
    isTimed: true,
    async compute(context) {
      const { teacher } = await openBenchmark(context, benchmark);
      const { depth } = teacher.model.config;
      const models: readonly (readonly [string, LoadedModel])[] = [
        ["teacher", teacher],
        ["half depth", shallow(teacher, everyOther(depth))],
        ["half width", await anyHalfWidth(teacher)],
      ];
      const { engine, signal } = context;
      const runners = models.map(([, { model, tensors: weights, process }]) => ({
        model,
        weights,
        process,
        sampling: benchmark.sampling,
      }));
      const { speeds } = await samplerSpeeds({ engine, runners, batches: [BATCH], rounds, seed, signal });
      const own = speeds.map(([speed]) => speed!);
      const ofTeacher = own[0]!.roundSeconds;
      return {
        models: own.map(({ imagesPerSecond, roundSeconds, macsPerImage }, i) => {
          const ratios = roundSeconds.map((seconds, round) => ofTeacher[round]! / seconds);
          const [name, { tensors }] = models[i]!;
          return {
            name,
            secondsPerImage: 1 / imagesPerSecond,
            macsPerImage,
            ratio: median(ratios),
            least: Math.min(...ratios),
            most: Math.max(...ratios),
            parameters: Array.from(tensors.values()).reduce((sum, { size }) => sum + size, 0),
          };
        }),
      };
    },
  };
}
