/** The demo's report page: images, numbers, the decision as it settled, time, and how to go on. */
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { float32, sizeOf } from "../../array/ndarray.ts";
import { type Score, type ScoreKey, scoreDefaults, scoreOf } from "../../evaluation/scores/evaluation.ts";
import { encodePng, imageGrid } from "../../formats/image-bytes.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { parseGroups } from "../../pruning/groups.ts";
import { barChart } from "../../report/bar-chart.ts";
import { decisionChart } from "../../report/decision-chart.ts";
import { lineChart } from "../../report/line-chart.ts";
import { htmlPage, pngDataUri, type Section } from "../../report/page.ts";
import { readLines } from "../../storage/append-lines.ts";
import type { SampleResult } from "../../tasks/sample.ts";
import { versions } from "../../tasks/version.ts";
import type { MetricsLine } from "../../training/run-folder.ts";
import type { LoadedModel } from "../../weights/model-file.ts";
import { duration } from "../progress.ts";
import { type DemoSize, type FamilyPlan, groupsText } from "./plan.ts";

/** One of the three models that are compared: teacher, pruned, recovered. */
export interface DemoModel {
  readonly name: string;
  readonly file: LoadedModel;
  readonly sampled: SampleResult;
}

export interface DemoResults {
  readonly plan: FamilyPlan;
  readonly size: DemoSize;
  readonly seed: number;
  readonly threads: number;
  readonly out: string;
  readonly teacherPath: string;
  readonly models: readonly DemoModel[];
  readonly decision: DecisionFile;
  /** Path of the model before its recovery. */
  readonly pruned: string;
  readonly metrics: Readonly<Record<"search" | "recovery", readonly MetricsLine[]>>;
  /** On fixed held-out examples, after the recovery. */
  readonly fixedLoss: { readonly [of in "ema" | "raw" | "teacher" | "examples"]: number };
  /** Rise of the teacher's loss when one block is skipped [depth]. */
  readonly skipLosses: readonly number[];
  /** How many times as fast the recovered model samples as the teacher. */
  readonly speedup: number;
  readonly seconds: FamilyPlan["seconds"];
}

const scored = ({ sampled }: DemoModel, key: ScoreKey): Score => scoreOf(sampled.evaluation!, key);
const share = (value: number): string => `${(100 * value).toFixed(1)}%`;
const percent = (model: DemoModel, key: ScoreKey): string => share(scored(model, key).value);
const distance = (model: DemoModel, digits: number): string => {
  const { value, standardError } = scored(model, "frechet");
  return `${value.toFixed(digits)} ± ${standardError!.toFixed(digits)}`;
};

/** What a run logged. */
export const metricsIn = (run: string): MetricsLine[] => readLines(join(run, "metrics.jsonl")) as MetricsLine[];

/** The numbers of the lead sentence, also printed on the terminal. */
export function summary({ models, speedup }: DemoResults): string {
  const each = (text: (model: DemoModel) => string) => models.map((model) => `${model.name} ${text(model)}`).join(", ");
  const [full, , half] = models.map(({ file }) => file.model.config.depth);
  const accuracy = each((model) => percent(model, "labelAccuracy"));
  const distances = each((model) => distance(model, 1));
  return `${half} of ${full} layers, ${speedup.toFixed(2)}× as fast. Label accuracy: ${accuracy}. FD-digits: ${distances}.`;
}

/** PNG of six rows: ten images of each model from the same noise, then a blank column. */
export function sideBySide(models: readonly DemoModel[]): Uint8Array {
  const columns = 10;
  const [count, ...shape] = models[0]!.sampled.images.shape as readonly [number, ...number[]];
  const rows = Math.min(6, Math.floor(count / columns));
  const blank = new Float32Array(sizeOf(shape)).fill(1);
  const cells = Array.from({ length: rows }, (_, row) =>
    models.flatMap(({ sampled: { images } }, model) => [
      ...(model > 0 ? [blank] : []),
      ...Array.from({ length: columns }, (_, i) => images.rows(row * columns + i, row * columns + i + 1).data),
    ]),
  ).flat();
  const values = float32(
    cells.flatMap((cell) => Array.from(cell)),
    [cells.length, ...shape],
  );
  return encodePng(imageGrid(values, models.length * (columns + 1) - 1, { scale: 1, gap: 1 }));
}

/** The whole page as HTML. */
export function demoReport(results: DemoResults): string {
  return htmlPage({
    title: "A shallow diffusion transformer, learned",
    lead: summary(results),
    sections: [
      imageColumns(results),
      scores(results),
      classCounts(results),
      decision(results),
      ...losses(results),
      skipped(results),
      times(results),
      commands(results),
      settings(results),
    ],
  });
}

function imageColumns({ models }: DemoResults): Section {
  const images = models.map(({ name, sampled }) => {
    const shown = sampled.images.rows(0, Math.min(100, sampled.images.shape[0]!));
    const png = encodePng(imageGrid(shown, 10, { scale: 1, gap: 2 }));
    return { image: pngDataUri(png), alt: `a grid of generated digits: ${name}`, caption: name, isPixelArt: true };
  });
  return { heading: "The same noise through three models", kind: "columns", images };
}

function scores({ models, size }: DemoResults): Section {
  const parameters = ({ file }: DemoModel) => [...file.tensors.values()].reduce((sum, tensor) => sum + tensor.size, 0);
  const teacher = models[0]!;
  const sampling = Object.entries(teacher.sampled.settings)
    .map(([name, value]) => `${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${value}`)
    .join(", ");
  const columns = "model, layers, parameters, FD-digits, label accuracy, precision, recall, it/s, ms per image";
  return {
    heading: "Numbers",
    kind: "table",
    columns: columns.split(", "),
    rows: models.map((model) => [
      model.name,
      model.file.model.config.depth,
      `${(parameters(model) / 1e6).toFixed(2)} M`,
      distance(model, 2),
      percent(model, "labelAccuracy"),
      percent(model, "precision"),
      percent(model, "recall"),
      model.sampled.iterationsPerSecond.toFixed(2),
      (model.sampled.secondsPerImage * 1000).toFixed(0),
    ]),
    strongRows: [2],
    caption:
      `n = ${size.images} digits each, ${sampling}, averaged (EMA) weights. FD-digits is a Fréchet distance on the 64 ` +
      `features of the packaged digit classifier against the 8,000 training digits, ± a delete-one-tenth jackknife error; it ` +
      `is not comparable with any FID. Real held-out digits score ${scored(teacher, "floor").value.toFixed(2)} at the same n. ` +
      `Precision and recall: k = ${scoreDefaults.neighbours}, ${teacher.sampled.evaluation!.reference.keptFeatures} training ` +
      `digits. it/s: denoiser evaluations of 32 images per second.`,
  };
}

function classCounts({ models }: DemoResults): Section {
  const classes = models.map(({ sampled }) => sampled.evaluation!.classes);
  return {
    kind: "table",
    columns: ["digit", ...models.map(({ name }) => name)],
    rows: classes[0]!.map((digit, i) => [
      String(digit.class),
      ...classes.map((counts) => {
        const { wanted, predicted, correct } = counts[i]!;
        return `${correct} of ${wanted} right, ${predicted} drawn`;
      }),
    ]),
    caption: "What the classifier sees in the samples, by class: a model that draws only some digits shows here.",
  };
}

function decision({ decision }: DemoResults): Section {
  const { depth, kept, history = [], flips = [], steps = 0, averaged, raw } = decision;
  const svg = decisionChart({
    title: "Layers kept over the search",
    groupSizes: parseGroups(groupsText, depth).map(({ size }) => size),
    steps: history,
    xLabel: "search step",
  });
  const caption =
    `Kept ${kept.join(", ")}. ${flips.length} changes of mind, the last after step ${flips.at(-1) ?? 0} of ${steps}. ` +
    `Confidence of the averaged gates: lowest ${Math.min(...(averaged?.confidence ?? [])).toFixed(2)}; the raw gates would ` +
    `keep ${raw?.kept.join(", ")}.`;
  return { heading: "How the decision settled", kind: "figure", svg, caption };
}

function losses({ metrics, fixedLoss }: DemoResults): Section[] {
  const chart = (title: string, lines: readonly MetricsLine[], names: readonly string[]) => {
    const points = (name: string) =>
      lines.flatMap(({ step, [name]: value }) => (typeof value === "number" ? [[step, value] as const] : []));
    const series = names.map((name) => ({ name, points: points(name) }));
    return lineChart({ title, xLabel: "step", yLabel: "loss", series, logY: true });
  };
  const { ema, raw, teacher, examples } = fixedLoss;
  const parts = ["loss", "distillation", "features", "diffusion"];
  return [
    { heading: "Losses", kind: "figure", svg: chart("Search: loss with sampled masks", metrics.search, ["loss"]) },
    {
      kind: "figure",
      svg: chart("Recovery: distillation, features and diffusion", metrics.recovery, parts),
      caption:
        `On ${examples} fixed held-out examples: averaged weights ${ema.toFixed(4)}, raw weights ${raw.toFixed(4)} ` +
        `(${share(Math.abs(ema / raw - 1))} apart), teacher ${teacher.toFixed(4)}.`,
    },
  ];
}

function skipped({ skipLosses, decision: { kept } }: DemoResults): Section {
  const bars = skipLosses.map((value, i) => ({ label: `layer ${i}`, value, isMarked: kept.includes(i) }));
  const title = "Rise of the teacher's loss when one layer is skipped";
  return {
    heading: "What one layer is worth to the teacher",
    kind: "figure",
    svg: barChart({ title, xLabel: "loss", bars }),
    caption:
      "Marked layers are those the search kept. A cheap layer now is not always the one to drop: see the paper, table 5.",
  };
}

function times({ seconds, plan }: DemoResults): Section {
  const names = Object.keys(plan.seconds) as (keyof typeof plan.seconds)[];
  const rows = names.map((name) => [name, plan.seconds[name], seconds[name]] as const);
  const total = (column: 1 | 2) => rows.reduce((sum, row) => sum + row[column], 0);
  return {
    heading: "Time",
    kind: "table",
    columns: ["stage", "planned", "taken"],
    rows: [...rows, ["together", total(1), total(2)] as const].map(([name, planned, taken]) => [
      name,
      duration(planned),
      duration(taken),
    ]),
    strongRows: [names.length],
  };
}

const commands = ({ out, teacherPath, pruned, decision }: DemoResults): Section => ({
  heading: "Go on from here",
  kind: "commands",
  lines: [
    "# recover for longer",
    `tinyfusion finetune ${pruned} --teacher ${teacherPath} --steps 4000 --learning-rate 1e-3 --final-lr 1e-4 --out runs/longer`,
    "# draw digits with the recovered model",
    `tinyfusion sample ${out}/shallow.safetensors --count 100 --evaluate`,
    "# the same layers without learning anything",
    `tinyfusion sample ${teacherPath} --blocks ${decision.kept.join(",")} --count 100 --evaluate`,
    "# look inside",
    `tinyfusion inspect ${out}/shallow.safetensors`,
  ],
});

function settings({ size, seed, threads, models }: DemoResults): Section {
  const { model, images, sha256 } = models[0]!.file;
  const values = {
    ...versions(),
    seed,
    threads,
    machine: `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    teacher: `${model.config.family}, ${images.toLocaleString("en")} images seen, SHA-256 ${sha256.slice(0, 16)}…`,
    search: `${size.searchSteps} × ${size.batch} images`,
    recovery: `${size.recoverySteps} × ${size.batch} images`,
  };
  const rows = Object.entries(values).map(([name, value]) => [name, String(value)]);
  return { heading: "Settings", kind: "table", columns: ["what", "value"], rows };
}
