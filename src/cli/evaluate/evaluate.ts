/** `tinyfusion evaluate`: all metrics of images against real ones, with errors, warnings and a page to look at. */
import { join } from "node:path";
import type { FeatureNetwork, ImageFeatures } from "../../evaluation/features/feature-network.ts";
import { lookAt } from "../../evaluation/features/stored-features.ts";
import type { ImageSet } from "../../evaluation/images/image-set.ts";
import { openImageSet } from "../../evaluation/images/open-image-set.ts";
import { withMetricKernels } from "../../evaluation/metrics/kernels.ts";
import { networkText, type Reference } from "../../evaluation/reference/reference.ts";
import type { Evaluation } from "../../evaluation/scores/evaluation.ts";
import { scoreImages } from "../../evaluation/scores/score-images.ts";
import { scoreDefaults } from "../../evaluation/scores/scoring.ts";
import { machineNow } from "../../evaluation/speed/machine.ts";
import { cpuEngine } from "../../onnx/node-engine.ts";
import type { Engine } from "../../onnx/session.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { type CommandContext, command, STOPPED } from "../command.ts";
import { drawSet, setOptions } from "../draw-set.ts";
import { modelName } from "../drawing.ts";
import { flagOf, type OptionTable, UsageError, type Values } from "../option.ts";
import { tableLines } from "../table.ts";
import { versions } from "../version.ts";
import { featureOptions, openNetwork } from "./feature-options.ts";
import { look, openReference, referenceOptions } from "./reference-options.ts";
import { evaluationReport, scoreText } from "./report.ts";
import { subjectAt } from "./subject.ts";

const options = {
  ...referenceOptions,
  ...featureOptions,
  neighbours: {
    kind: "integer",
    fallback: scoreDefaults.neighbours,
    min: 1,
    help: "nearest neighbours of precision and recall",
  },
  splitSize: {
    kind: "integer",
    fallback: scoreDefaults.splitSize,
    min: 1,
    help: "images of a split of the Inception Score",
  },
  bandwidth: { kind: "number", min: 1e-9, help: "of the kernel distance [median distance within the reference]" },
  infinity: { kind: "flag", help: "also the Fréchet distance of endless samples, extrapolated from 15 counts" },
  quick: { kind: "flag", help: "no standard errors, which take ten times as long" },
  out: {
    kind: "text",
    help: "folder for evaluation.json, report.html and features while they are computed [evaluations/NAME]",
  },
  json: { kind: "flag", help: "print evaluation.json" },
  ...setOptions,
} as const satisfies OptionTable;

type Options = Values<typeof options>;

export const evaluate = command({
  name: "evaluate",
  summary:
    "FID, sFID, Inception Score, precision, recall and kernel distance of images, or of a model that draws them.",
  argument: "<images|model|run>",
  options,
  examples: [
    "tinyfusion evaluate models/digits/teacher.safetensors --count 2000",
    "tinyfusion evaluate generated/teacher --out evaluations/teacher",
    "tinyfusion evaluate samples.npz --reference VIRTUAL_imagenet256_labeled.npz --inception-weights pt_inception-2015-12-05-6726825d.pth",
    "tinyfusion evaluate runs/recovery --cfg 1.5 --steps 250 --sampler ddpm --count 10000 --quick --json",
  ],
  async run(values, context, path) {
    const engine = cpuEngine({ threads: values.threads });
    const out = values.out ?? join("evaluations", modelName(path!));
    const images = await imagesOf(path!, values, context, join(out, "images"), engine);
    if (!images) return STOPPED;
    const network = await openNetwork(values, images, engine);
    try {
      const { evaluation, reference } = await evaluated(values, context, { images, network, engine, out });
      const facts = factsOf(values, images, reference);
      await writeAtomically(join(out, "evaluation.json"), `${JSON.stringify({ ...evaluation, ...facts }, null, 2)}\n`);
      const page = join(out, "report.html");
      const command = commandLine(path!, context.given, values);
      await writeAtomically(page, await evaluationReport({ evaluation, images, reference, facts, command }));
      if (values.json) context.print(JSON.stringify({ ...evaluation, ...facts }, null, 2));
      else for (const line of lines(evaluation, page)) context.print(line);
      return 0;
    } catch (error) {
      if (!context.signal.aborted) throw error;
      context.note("stopped; finished features and images stay, the same command goes on");
      return STOPPED;
    } finally {
      await network.release();
    }
  },
});

/** The images that are there, or that the model draws now; undefined if that was stopped. */
async function imagesOf(
  path: string,
  values: Options,
  context: CommandContext,
  out: string,
  engine: Engine,
): Promise<ImageSet | undefined> {
  const subject = await subjectAt(path);
  if (subject.kind === "images") {
    refuseDrawing(context.given, path);
    return openImageSet(subject.path);
  }
  const set = await drawSet(subject.path, { ...values, out, count: values.count ?? fewOf(values) }, context, engine);
  if (!set.finished) {
    context.note(`stopped with ${set.images} images; the same command goes on`);
    return undefined;
  }
  return openImageSet(out);
}

/** Enough for digits, whose features are 64; published FIDs are of 50,000. */
const fewOf = ({ features, inceptionWeights }: Options): number =>
  features === "inception" || inceptionWeights !== undefined ? 50_000 : 2000;

/** @throws UsageError for options of drawing beside images that are drawn. */
function refuseDrawing(given: ReadonlySet<string>, path: string): void {
  const found = Object.keys(setOptions).find((name) => name !== "threads" && given.has(name));
  if (found) throw new UsageError(`${flagOf(found)} is of models that draw images; ${path} holds images`);
}

interface Opened {
  readonly images: ImageSet;
  readonly network: FeatureNetwork;
  readonly engine: Engine;
  readonly out: string;
}

async function evaluated(
  values: Options,
  context: CommandContext,
  { images, network, engine, out }: Opened,
): Promise<{ evaluation: Evaluation; reference: Reference }> {
  const { note, signal } = context;
  return withMetricKernels(engine, async (kernels) => {
    const request = { kernels, network, folder: join(out, "features"), note, signal, context };
    note(`looking at the reference with ${network.name}`);
    const reference = await openReference(values, request);
    note(`looking at ${images.count} images of ${images.name}`);
    const features: ImageFeatures = await lookAt(look(images, request));
    const { neighbours, splitSize, bandwidth, infinity } = values;
    const settings = {
      neighbours,
      splitSize,
      infinity,
      errors: !values.quick,
      ...(bandwidth !== undefined && { bandwidth }),
    };
    const evaluation = await scoreImages({
      ...{ kernels, network, images, features, reference, settings, signal },
      onStage: note,
    });
    return { evaluation, reference };
  });
}

function factsOf(values: Options, images: ImageSet, reference: Reference) {
  const { neighbours, splitSize, bandwidth, infinity, quick, threads } = values;
  return {
    settings: {
      neighbours,
      splitSize,
      bandwidth: bandwidth ?? "median",
      infinity,
      quick,
    },
    ...(images.origin && { origin: images.origin }),
    referenceNetwork: reference.network ? networkText(reference.network) : "not said by the file",
    versions: versions(),
    machine: machineNow(threads),
  };
}

/** The command as it was given, for the page. */
function commandLine(path: string, given: ReadonlySet<string>, values: Readonly<Record<string, unknown>>): string {
  const flags = Array.from(given, (name) => (values[name] === true ? flagOf(name) : `${flagOf(name)} ${values[name]}`));
  return ["tinyfusion evaluate", path, ...flags].join(" ");
}

function lines({ scores, warnings, samples, network }: Evaluation, page: string): string[] {
  const rows = scores.map((score) => [score.name, scoreText(score), score.detail]);
  return [
    `${samples.name}: ${samples.count} images, features of ${networkText(network)}`,
    ...tableLines(rows, [1]),
    ...warnings.map((warning) => `note: ${warning}`),
    page,
  ];
}
