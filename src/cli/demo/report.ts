/** The demo's report page: pictures, numbers, the decision as it settled, time, and how to go on. */
import { cpus, totalmem } from "node:os";
import { type Score, type ScoreKey, scoreDefaults, scoreOf } from "../../evaluation/scores/evaluation.ts";
import { encodePng, imageGrid } from "../../formats/image-bytes.ts";
import type { DecisionFile } from "../../pruning/decision.ts";
import { parseGroups } from "../../pruning/groups.ts";
import { barChart } from "../../report/bar-chart.ts";
import { decisionChart } from "../../report/decision-chart.ts";
import { lineChart } from "../../report/line-chart.ts";
import { htmlPage, pngDataUri, type Section } from "../../report/page.ts";
import { versions } from "../../tasks/version.ts";
import type { MetricsLine } from "../../training/run-folder.ts";
import type { LoadedModel } from "../../weights/model-file.ts";
import { duration } from "../progress.ts";
import type { DemoSize, FamilyPlan } from "./plan.ts";
import type { Sampled } from "./stages.ts";

/** One of the three models that are compared. */
export interface Compared {
  readonly name: string;
  readonly file: LoadedModel;
  readonly sampled: Sampled;
}

export interface DemoResults {
  readonly plan: FamilyPlan;
  readonly size: DemoSize;
  readonly seed: number;
  readonly threads: number;
  readonly out: string;
  readonly teacherPath: string;
  readonly teacher: Compared;
  readonly before: Compared;
  readonly after: Compared;
  readonly decision: DecisionFile;
  readonly searchMetrics: readonly MetricsLine[];
  readonly recoveryMetrics: readonly MetricsLine[];
  /** Loss on fixed held-out examples after recovery. */
  readonly fixedLoss: {
    readonly ema: number;
    readonly raw: number;
    readonly teacher: number;
    readonly examples: number;
  };
  /** Rise of the teacher's loss when one block is skipped [depth]. */
  readonly skipLosses: readonly number[];
  /** How many times as fast the recovered model draws as the teacher, both in turn. */
  readonly speedup: number;
  readonly seconds: FamilyPlan["timeBudget"];
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
const parameters = ({ tensors }: LoadedModel): number => [...tensors.values()].reduce((n, { size }) => n + size, 0);
const withError = ({ value, standardError }: Score, digits: number): string =>
  `${value.toFixed(digits)} ± ${standardError!.toFixed(digits)}`;
const millions = (n: number): string => `${(n / 1e6).toFixed(2)} M`;

/** The numbers of the lead sentence, also printed on the terminal. */
export function summary({ teacher, before, after, speedup }: DemoResults): string {
  const accuracy = ({ sampled }: Compared) => percent(scoreOf(sampled.evaluation, "labelAccuracy").value);
  const distance = ({ sampled }: Compared) => withError(scoreOf(sampled.evaluation, "frechet"), 1);
  const [full, half] = [teacher.file.model.config.depth, after.file.model.config.depth];
  return (
    `${half} of ${full} layers, ${speedup.toFixed(2)}× as fast. Label accuracy: teacher ${accuracy(teacher)}, ` +
    `pruned ${accuracy(before)}, recovered ${accuracy(after)}. FD-digits: teacher ${distance(teacher)}, ` +
    `pruned ${distance(before)}, recovered ${distance(after)}.`
  );
}

/** The whole page as HTML. */
export function demoReport(results: DemoResults): string {
  return htmlPage({
    title: "A shallow diffusion transformer, learned",
    lead: summary(results),
    sections: [
      pictures(results),
      scores(results),
      classCounts(results),
      ...decisionSections(results),
      ...lossSections(results),
      skipSection(results),
      times(results),
      ...commands(results),
      settings(results),
    ],
  });
}

const compared = ({ teacher, before, after }: DemoResults): readonly Compared[] => [teacher, before, after];

function pictures(results: DemoResults): Section {
  const images = compared(results).map(({ name, sampled }) => {
    const shown = sampled.images.rows(0, Math.min(100, sampled.images.shape[0]!));
    const png = encodePng(imageGrid(shown, 10, { scale: 1, gap: 2 }));
    return { image: pngDataUri(png), alt: `a grid of generated digits: ${name}`, caption: name, isPixelArt: true };
  });
  return { heading: "The same noise through three models", kind: "columns", images };
}

function scores(results: DemoResults): Section {
  const rows = compared(results).map(({ name, file, sampled }) => {
    const score = (key: ScoreKey) => scoreOf(sampled.evaluation, key);
    return [
      name,
      file.model.config.depth,
      millions(parameters(file)),
      withError(score("frechet"), 2),
      percent(score("labelAccuracy").value),
      percent(score("precision").value),
      percent(score("recall").value),
      sampled.iterationsPerSecond.toFixed(2),
      (sampled.secondsPerImage * 1000).toFixed(0),
    ];
  });
  const { size, teacher } = results;
  const { evaluation } = teacher.sampled;
  return {
    heading: "Numbers",
    kind: "table",
    columns: [
      "model",
      "layers",
      "parameters",
      "FD-digits",
      "label accuracy",
      "precision",
      "recall",
      "it/s",
      "ms per image",
    ],
    rows,
    strongRows: [2],
    caption:
      `n = ${size.images} digits each, ${samplingText(teacher.sampled.settings)}, averaged (EMA) weights. ` +
      `FD-digits is a Fréchet distance on the 64 features of the packaged digit classifier against the 8,000 training digits, ` +
      `± a delete-one-tenth jackknife error; it is not comparable with any FID. Real held-out digits score ` +
      `${scoreOf(evaluation, "floor").value.toFixed(2)} at the same n. Precision and recall: k = ${scoreDefaults.neighbours}, ` +
      `${evaluation.reference.keptFeatures} training digits. it/s: denoiser evaluations of 32 images per second.`,
  };
}

/** The settings of a sampler in words: "sampler ddim, steps ddim25, cfg scale 2.5". */
const samplingText = (settings: object): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)} ${value}`)
    .join(", ");

function classCounts(results: DemoResults): Section {
  const models = compared(results);
  const classes = models[0]!.sampled.evaluation.classes.map((count) => count.class);
  return {
    kind: "table",
    columns: ["digit", ...models.map(({ name }) => name)],
    rows: classes.map((digit, i) => [
      String(digit),
      ...models.map(({ sampled }) => {
        const { wanted, predicted, correct } = sampled.evaluation.classes[i]!;
        return `${correct} of ${wanted} right, ${predicted} drawn`;
      }),
    ]),
    caption: "What the classifier sees in the samples, by class: a model that draws only some digits shows here.",
  };
}

function decisionSections({ decision }: DemoResults): Section[] {
  const { depth, kept, groups = "1:2", history = [], flips = [], steps = 0, averaged, raw } = decision;
  const sizes = parseGroups(groups, depth).map(({ size }) => size);
  const svg = decisionChart({
    title: "Layers kept over the search",
    groupSizes: sizes,
    steps: history,
    xLabel: "search step",
  });
  const confidence = averaged?.confidence ?? [];
  const lowest = Math.min(...confidence);
  return [
    {
      heading: "How the decision settled",
      kind: "figure",
      svg,
      caption:
        `Kept ${kept.join(", ")}. ${flips.length} changes of mind, the last after step ${flips.at(-1) ?? 0} of ${steps}. ` +
        `Confidence of the averaged gates: lowest ${lowest.toFixed(2)}; the raw gates would keep ${raw?.kept.join(", ")}.`,
    },
  ];
}

function lossSections({ searchMetrics, recoveryMetrics, fixedLoss }: DemoResults): Section[] {
  const series = (lines: readonly MetricsLine[], name: string) => ({
    name,
    points: lines.flatMap((line) =>
      typeof line[name] === "number" ? [[line.step, line[name]] as [number, number]] : [],
    ),
  });
  const gap = Math.abs(fixedLoss.ema / fixedLoss.raw - 1);
  return [
    {
      heading: "Losses",
      kind: "figure",
      svg: lineChart({
        title: "Search: loss with sampled masks",
        xLabel: "step",
        yLabel: "loss",
        series: [series(searchMetrics, "loss")],
        logY: true,
      }),
    },
    {
      kind: "figure",
      svg: lineChart({
        title: "Recovery: distillation, features and diffusion",
        xLabel: "step",
        yLabel: "loss",
        series: ["loss", "distillation", "features", "diffusion"].map((name) => series(recoveryMetrics, name)),
        logY: true,
      }),
      caption:
        `On ${fixedLoss.examples} fixed held-out examples: averaged weights ${fixedLoss.ema.toFixed(4)}, raw weights ` +
        `${fixedLoss.raw.toFixed(4)} (${percent(gap)} apart), teacher ${fixedLoss.teacher.toFixed(4)}.`,
    },
  ];
}

function skipSection({ skipLosses, decision }: DemoResults): Section {
  const kept = new Set(decision.kept);
  return {
    heading: "What one layer is worth to the teacher",
    kind: "figure",
    svg: barChart({
      title: "Rise of the teacher's loss when one layer is skipped",
      xLabel: "loss",
      bars: skipLosses.map((value, i) => ({ label: `layer ${i}`, value, isMarked: kept.has(i) })),
    }),
    caption:
      "Marked layers are those the search kept. A cheap layer now is not always the one to drop: see the paper, table 5.",
  };
}

function times({ seconds, plan: { timeBudget } }: DemoResults): Section {
  const names = Object.keys(timeBudget) as (keyof typeof timeBudget)[];
  const total = (values: Readonly<Record<string, number>>) => names.reduce((sum, name) => sum + values[name]!, 0);
  return {
    heading: "Time",
    kind: "table",
    columns: ["stage", "planned", "taken"],
    rows: [
      ...names.map((name) => [name, duration(timeBudget[name]), duration(seconds[name])]),
      ["together", duration(total(timeBudget)), duration(total(seconds))],
    ],
    strongRows: [names.length],
  };
}

function commands({ out, teacherPath, decision }: DemoResults): Section[] {
  const kept = decision.kept.join(",");
  return [
    {
      heading: "Go on from here",
      kind: "commands",
      lines: [
        "# recover for longer",
        `tinyfusion finetune ${out}/pruned.safetensors --teacher ${teacherPath} --steps 4000 --learning-rate 1e-3 --final-lr 1e-4 --out runs/longer`,
        "# draw digits with the recovered model",
        `tinyfusion sample ${out}/shallow.safetensors --count 100 --evaluate`,
        "# the same layers without learning anything",
        `tinyfusion sample ${teacherPath} --blocks ${kept} --count 100 --evaluate`,
        "# look inside",
        `tinyfusion inspect ${out}/shallow.safetensors`,
      ],
    },
  ];
}

function settings({ size, seed, threads, teacher }: DemoResults): Section {
  const [cpu] = cpus();
  const facts = {
    ...versions(),
    seed,
    threads,
    machine: `${cpus().length} × ${cpu?.model.trim() ?? "unknown processor"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    teacher: `${teacher.file.model.config.family}, ${teacher.file.images.toLocaleString("en")} images seen, SHA-256 ${teacher.file.sha256.slice(0, 16)}…`,
    search: `${size.searchSteps} × ${size.searchBatch} images`,
    recovery: `${size.recoverySteps} × ${size.recoveryBatch} images`,
  };
  return {
    heading: "Settings",
    kind: "table",
    columns: ["what", "value"],
    rows: Object.entries(facts).map(([name, value]) => [name, String(value)]),
  };
}
