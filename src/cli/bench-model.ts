/** `tinyfusion bench-model`: parameters, arithmetic, speed and memory of a model, alone or in turn with another. */
import { machineText } from "../evaluation/speed/timing.ts";
import { type BenchedModel, type BenchResult, benchModel, benchModelSettings } from "../tasks/bench-model.ts";
import { command, jsonFlag } from "./command.ts";
import { cacheLines } from "./result-lines.ts";
import { bytesText, grouped, tableLines } from "./table.ts";

export const benchModelCommand = command({
  name: "bench-model",
  summary: "Measure a model: parameters, arithmetic, iterations and images per second, memory.",
  settings: benchModelSettings,
  positional: ["file"],
  flags: jsonFlag,
  examples: [
    "tinyfusion bench-model models/digits/teacher.safetensors",
    "tinyfusion bench-model runs/demo/shallow.safetensors --against models/digits/teacher.safetensors --json",
    "tinyfusion bench-model DiT-XL-2-256x256.pt --model DiT-XL/2 --steps 250 --batches 2,8 --iterations 3 --rounds 3",
  ],
  async run(settings, { json }) {
    const result = await benchModel(settings);
    return json ? [JSON.stringify(result, null, 2)] : linesOf(result);
  },
});

const giga = (macs: number): string => `${(macs / 1e9).toPrecision(4)} GMACs`;

function linesOf({ models, ratios, rounds, machine, iterationDefinition }: BenchResult): string[] {
  return [
    ...models.flatMap((model, i) => [...modelLines(model, models.length > 1 ? `${"AB"[i]} ` : ""), ""]),
    ...(ratios ?? []).map(({ batch, ratio }) => `batch ${batch}: A is ${ratio.toFixed(2)} times as fast as B`),
    ...(ratios ? [""] : []),
    `Medians of ${rounds} ${rounds === 1 ? "round" : "rounds in turn"}; ${machineText(machine)}.`,
    iterationDefinition,
    "1 MAC is a multiplication with its addition (two FLOPs), counted in matrix products and convolutions as the graph runs them.",
  ];
}

function modelLines({ path, weights, family, blocks, settings, derived, speeds, ...cost }: BenchedModel, mark: string) {
  const { batch, evaluations, macsPerImage, headRuns } = speeds[0]!;
  const halves = settings.cfgScale === 1 ? "no guidance" : `guidance ${settings.cfgScale}: two halves`;
  const sampler = "sampler" in settings ? `${settings.sampler}, ` : "";
  const isMar = cost.headMacs !== undefined;
  const iterations = isMar ? "iterations of the transformer" : "denoiser evaluations";
  const first = isMar ? `, in a batch of ${batch}` : ""; // the head's rows are padded: few images cost more each
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
    `${mark}${path}: ${family}, ${blocks} blocks, ${weights === "ema" ? "averaged (EMA)" : "raw"} weights${settings.precision ? `, ${settings.precision}` : ""}`,
    `  parameters      ${grouped(cost.parameters)}`,
    `  one evaluation  ${giga(cost.macs)} an image, without guidance${isMar ? ", all tokens visible (fewer cost less)" : ""}`,
    ...(isMar
      ? [`  head            ${giga(cost.headMacs!)} a token and step, ${headRuns} runs per batch${first}`]
      : []),
    `  one image       ${giga(macsPerImage)}: ${sampler}${evaluations} ${iterations}, ${halves}${first}`,
    ...cacheLines(derived).map((line) => `  ${line}`),
    ...tableLines(
      [["  batch", "it/s", "images/s", "s an image", "GMACs/s", "compile s", "peak memory (RSS)"], ...rows],
      [0, 1, 2, 3, 4, 5, 6],
    ),
    ...(speeds.some(({ isExtrapolated }) => isExtrapolated)
      ? ["  ~ from iterations: the images were not sampled to their end"]
      : []),
  ];
}
