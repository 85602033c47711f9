/** `tinyfusion bench-model`: parameters, arithmetic, speed and memory of a model, alone or in turn with another. */

import { cpuEngine } from "../engine/onnx/node-engine.ts";
import { type ModelCost, modelCost } from "../evaluation/speed/model-cost.ts";
import {
  iterationDefinition,
  type Runner,
  type SamplerSpeed,
  type SpeedReport,
  samplerSpeeds,
} from "../evaluation/speed/sampler-speed.ts";
import { type Machine, machineNow, machineText, median, medianRatio } from "../evaluation/speed/timing.ts";
import { runOnly } from "../nn/run-block.ts";
import { parseKept } from "../pruning/keep-blocks.ts";
import { fileModelSettings, openNamedModel, openOneOfTwo } from "../tasks/model-settings.ts";
import { chosenSampling, samplingSettings } from "../tasks/sampling-settings.ts";
import { SettingError, type SettingTable, type Values } from "../tasks/settings.ts";
import { chosenProcess, samplingProcessSettings, seedSetting, threadsSetting } from "../tasks/shared-settings.ts";
import { versions } from "../tasks/version.ts";
import { stacksText } from "../weights/fitting-models.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "./command.ts";
import { cacheLines } from "./result-lines.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

const options = {
  against: { kind: "weights", help: "another model, timed in turn with the first" },
  batches: { kind: "text", fallback: "2,8,32", help: "images drawn together, one measurement each" },
  rounds: { kind: "integer", fallback: 5, min: 1, help: "draws of each kind that are timed, in turn" },
  iterations: { kind: "integer", min: 1, help: "end each timed draw after so many iterations [the whole images]" },
  kept: { kind: "text", help: "run only these blocks of <model>, as 0,2,5; the other model runs all of its own" },
  ...samplingSettings,
  json: { kind: "flag", help: "print JSON" },
  seed: seedSetting,
  threads: threadsSetting,
  ...fileModelSettings,
  secondWeights: { ...fileModelSettings.weights, help: "as --weights, of the other model, where it differs" },
  ...samplingProcessSettings,
} as const satisfies SettingTable;

type Options = Values<typeof options>;

export const benchModel = command({
  name: "bench-model",
  summary: "Count and time a model: parameters, arithmetic, iterations and images a second, memory.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion bench-model models/digits/teacher.safetensors",
    "tinyfusion bench-model runs/demo/shallow.safetensors --against models/digits/teacher.safetensors --json",
    "tinyfusion bench-model DiT-XL-2-256x256.pt --model DiT-XL/2 --steps 250 --batches 2,8 --iterations 3 --rounds 3",
  ],
  async run(values, context, path) {
    const batches = batchesOf(values.batches);
    const entrants = await openEntrants(values, context, path!);
    const measured = await unlessStopped(context, () =>
      samplerSpeeds({
        engine: cpuEngine({ threads: values.threads }),
        runners: entrants.map(({ runner }) => runner),
        batches,
        ...{ rounds: values.rounds, seed: values.seed, signal: context.signal, onDraw: context.note },
        ...(values.iterations !== undefined && { iterations: values.iterations }),
      }),
    );
    if (!measured) return STOPPED;
    const facts = factsOf(values, entrants, measured);
    for (const line of values.json ? [JSON.stringify(facts, null, 2)] : linesOf(facts)) context.print(line);
    return 0;
  },
});

/** @throws SettingError for anything but sizes of at least 2. */
function batchesOf(text: string): number[] {
  const batches = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  const wrong = batches.findIndex((batch) => !(batch >= 2));
  if (wrong < 0) return batches;
  throw new SettingError(`--batches expects numbers of at least 2, as 2,8,32, got ${text.split(",")[wrong] || '""'}`);
}

interface Entrant {
  readonly file: ModelFile;
  readonly runner: Runner;
  readonly cost: ModelCost;
  readonly blocks: string;
}

/** @throws InputError for options that say nothing to one of the models. */
async function openEntrants(values: Options, { note }: CommandContext, path: string): Promise<Entrant[]> {
  const { against, secondWeights } = values;
  if (against === undefined) return [entrant(values, await openNamedModel(path, values, note), values.kept, note)];
  const other = { ...values, weights: secondWeights ?? values.weights };
  return [
    entrant(values, await openOneOfTwo(path, values, note), values.kept, note),
    entrant(values, await openOneOfTwo(against, other, note), undefined, note),
  ];
}

function entrant(
  values: Options,
  file: ModelFile,
  keptText: string | undefined,
  note: (line: string) => void,
): Entrant {
  const { model, tensors } = file;
  const process = chosenProcess(values, model, file);
  const kept = keptText === undefined ? undefined : parseKept(keptText, model.config.depth);
  const some = kept && { runBlock: runOnly(kept) };
  return {
    file,
    runner: {
      model,
      weights: tensors,
      process,
      sampling: chosenSampling(values, process, model.config, note),
      ...some,
    },
    cost: modelCost(model, some?.runBlock),
    blocks: kept ? `${kept.length} of ${model.config.depth}` : stacksText(model),
  };
}

function factsOf({ seed, threads, rounds }: Options, entrants: readonly Entrant[], report: SpeedReport) {
  const models = entrants.map(({ file, cost, blocks }, i) => {
    const { path, sha256, weights, model } = file;
    const { family } = model.config;
    return {
      path,
      sha256,
      weights,
      family,
      blocks,
      ...cost,
      settings: report.settings[i]!,
      derived: report.derived[i]!,
      speeds: report.speeds[i]!,
    };
  });
  const [first, second] = report.speeds;
  const ratios = second && first!.map((speed, b) => ({ batch: speed.batch, ratio: ratioOf(speed, second[b]!) }));
  const machine: Machine = machineNow(threads);
  return { models, ...(ratios && { ratios }), rounds, seed, machine, iterationDefinition, versions: versions() };
}

/** Seconds of an image of the second ÷ seconds of an image of the first: how many times as fast the first one is, over the rounds. */
function ratioOf(first: SamplerSpeed, second: SamplerSpeed): number {
  const seconds = ({ roundSeconds, imagesPerSecond, batch }: SamplerSpeed) => {
    const scale = batch / imagesPerSecond / median(roundSeconds);
    return roundSeconds.map((value) => value * scale);
  };
  return medianRatio(seconds(second), seconds(first));
}

type Facts = ReturnType<typeof factsOf>;

const giga = (macs: number): string => `${(macs / 1e9).toPrecision(4)} GMACs`;

function linesOf({ models, ratios, rounds, machine }: Facts): string[] {
  return [
    ...models.flatMap((model, i) => [...modelLines(model, models.length > 1 ? `${"AB"[i]} ` : ""), ""]),
    ...(ratios ?? []).map(({ batch, ratio }) => `batch ${batch}: A draws ${ratio.toFixed(2)} times as fast as B`),
    ...(ratios ? [""] : []),
    `Medians of ${rounds} ${rounds === 1 ? "round" : "rounds in turn"}; ${machineText(machine)}.`,
    iterationDefinition,
    "1 MAC is a multiplication with its addition (two FLOPs), counted in matrix products and convolutions as the graph runs them.",
  ];
}

function modelLines(
  { path, weights, family, blocks, settings, derived, speeds, ...cost }: Facts["models"][number],
  mark: string,
) {
  const { batch, evaluations, macsPerImage, headRuns } = speeds[0]!;
  const halves = settings.cfgScale === 1 ? "no guidance" : `guidance ${settings.cfgScale}: two halves`;
  const sampler = "sampler" in settings ? `${settings.sampler}, ` : "";
  const isMar = cost.headMacs !== undefined;
  const iterations = isMar ? "iterations of the transformer" : "denoiser evaluations";
  const first = isMar ? `, in a batch of ${batch}` : ""; // the head's rows are filled up, to more work for each of few images
  const rows = speeds.map((speed) => [
    String(speed.batch),
    speed.iterationsPerSecond.toPrecision(3),
    `${speed.isExtrapolated ? "~" : ""}${speed.imagesPerSecond.toPrecision(3)}`,
    (1 / speed.imagesPerSecond).toPrecision(3),
    ((speed.macsPerImage * speed.imagesPerSecond) / 1e9).toPrecision(3),
    speed.compileSeconds.toPrecision(3),
    bytesText(speed.peakBytes),
  ]);
  return [
    `${mark}${path}: ${family}, ${blocks} blocks, ${weights === "ema" ? "averaged (EMA)" : "raw"} weights`,
    `  parameters      ${grouped(cost.parameters)}`,
    `  one evaluation  ${giga(cost.macs)} an image, without guidance${isMar ? ", all tokens visible (fewer cost less)" : ""}`,
    ...(isMar
      ? [`  head            ${giga(cost.headMacs!)} a token and step, ${headRuns} runs in a draw${first}`]
      : []),
    `  one image       ${giga(macsPerImage)}: ${sampler}${evaluations} ${iterations}, ${halves}${first}`,
    ...cacheLines(derived).map((line) => `  ${line}`),
    ...tableLines(
      [["  batch", "it/s", "images/s", "s an image", "GMACs/s", "compile s", "peak memory (RSS)"], ...rows],
      [0, 1, 2, 3, 4, 5, 6],
    ),
    ...(speeds.some(({ isExtrapolated }) => isExtrapolated)
      ? ["  ~ from iterations: the images were not drawn to their end"]
      : []),
  ];
}
