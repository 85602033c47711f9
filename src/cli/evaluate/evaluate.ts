/** `tinyfusion evaluate`: all metrics of images against real ones, with errors, warnings and a page to look at. */
import { join } from "node:path";
import type { ImageSet } from "../../data/images/image-set.ts";
import type { Engine } from "../../engine/engine.ts";
import { cpuEngine } from "../../engine/onnx/node-engine.ts";
import { digitNetworkName } from "../../evaluation/features/digit-network.ts";
import type { FeatureNetwork } from "../../evaluation/features/feature-network.ts";
import { extractFeatures } from "../../evaluation/features/stored-features.ts";
import { holdsImageFiles, openImageSet } from "../../evaluation/images/open-image-set.ts";
import { type MetricKernels, withMetricKernels } from "../../evaluation/metrics/kernels.ts";
import { networkText, type Reference, requireDimensions } from "../../evaluation/reference/reference.ts";
import type { Evaluation } from "../../evaluation/scores/evaluation.ts";
import { requireEnough, requireScorable } from "../../evaluation/scores/require-scorable.ts";
import { scoreImages } from "../../evaluation/scores/score-images.ts";
import { type ScoreSettings, scoreDefaults } from "../../evaluation/scores/scoring.ts";
import { machineNow } from "../../evaluation/speed/timing.ts";
import { requireWritableFile, writeAtomically } from "../../storage/atomic-write.ts";
import {
  blankFeatures,
  featureRequest,
  featureSettings,
  openNetwork,
  openReference,
  referenceSettings,
} from "../../tasks/evaluation-settings.ts";
import { SettingError, type SettingTable, type Values } from "../../tasks/settings.ts";
import { versions } from "../../tasks/version.ts";
import { type CommandContext, command, STOPPED, unlessStopped } from "../command.ts";
import { drawSet, setOptions } from "../draw-set.ts";
import { flagOf } from "../flags.ts";
import { commandLine } from "./command-line.ts";
import { evaluationReport } from "./report.ts";
import { scoreLines } from "./score-lines.ts";
import { defaultFolder, refuseOtherEvaluation, type Subject, subjectAt } from "./subject.ts";

const options = {
  ...referenceSettings,
  ...featureSettings,
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
    kind: "folder",
    help: "folder for evaluation.json, report.html and features while they are computed [evaluations/NAME]",
  },
  json: { kind: "flag", help: "print evaluation.json" },
  ...setOptions,
} as const satisfies SettingTable;

const [jsonName, pageName] = ["evaluation.json", "report.html"] as const;

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
    refuseNeedlessCrop([path!, values.reference], values);
    const out = values.out ?? defaultFolder(path!);
    for (const name of [jsonName, pageName]) requireWritableFile(join(out, name));
    const engine = cpuEngine({ threads: values.threads });
    const subject = await subjectAt(path!, join(out, "images"), values, context, engine);
    if (subject.kind === "images") refuseDrawing(context.given, path!);
    if (values.out === undefined) refuseOtherEvaluation(out, subject);
    const network = await openNetwork(values, subject, engine);
    try {
      const work = () =>
        withMetricKernels(engine, (kernels) => evaluated(values, context, { subject, kernels, network, engine, out }));
      const left = "stopped; finished features and images stay, the same command goes on";
      const found = await unlessStopped(context, work, left);
      if (!found) return STOPPED;
      const { evaluation, images, reference } = found;
      const facts = factsOf(values, images, reference);
      const json = JSON.stringify({ ...evaluation, ...facts }, null, 2);
      await writeAtomically(join(out, jsonName), `${json}\n`); // first: the scores took the longest
      const command = commandLine("evaluate", context);
      const page = join(out, pageName);
      await writeAtomically(page, await evaluationReport({ evaluation, images, reference, facts, command }));
      if (values.json) context.print(json);
      else for (const line of [...scoreLines(evaluation), page]) context.print(line);
      return 0;
    } finally {
      await network.release();
    }
  },
});

/** @throws SettingError for a crop of what is no folder of image files. */
function refuseNeedlessCrop(paths: readonly (string | undefined)[], { size }: Options): void {
  if (size === undefined || paths.some((path) => path !== undefined && holdsImageFiles(path))) return;
  throw new SettingError("--size crops folders of image files; neither the images nor --reference are one");
}

/** @throws SettingError for options of drawing beside images that are drawn. */
function refuseDrawing(given: ReadonlySet<string>, path: string): void {
  const found = Object.keys(setOptions).find((name) => name !== "threads" && given.has(name));
  if (found) throw new SettingError(`${flagOf(found)} is of models that draw images; ${path} holds images`);
}

interface Opened {
  readonly subject: Subject;
  readonly kernels: MetricKernels;
  readonly network: FeatureNetwork;
  readonly engine: Engine;
  readonly out: string;
}

interface Evaluated {
  readonly evaluation: Evaluation;
  readonly images: ImageSet;
  readonly reference: Reference;
}

/** The reference first: what cannot be compared with it is neither drawn nor looked at. Undefined if drawing was stopped. */
async function evaluated(
  values: Options,
  context: CommandContext,
  { subject, kernels, network, engine, out }: Opened,
): Promise<Evaluated | undefined> {
  const { note, signal } = context;
  const settings = settingsOf(values);
  const count = subject.kind === "images" ? subject.images.count : (values.count ?? fewOf(network));
  requireEnough({ name: subject.name, count });
  const request = {
    kernels,
    network,
    comparedWith: subject,
    crop: values.size,
    folder: join(out, "features"),
    context,
  };
  note(`looking at the reference with ${network.name}`);
  const reference = await openReference(values, request);
  requireScorable({ network, reference, settings, images: { ...subject, count } });
  requireDimensions(reference, await blankFeatures(network, subject), network.name);
  const images = await imagesOf(subject, { ...values, out: subject.name, count }, context, engine);
  if (!images) return undefined;
  note(`looking at ${images.count} images of ${images.name}`);
  const features = await extractFeatures(featureRequest(images, request));
  const evaluation = await scoreImages({
    ...{ kernels, network, images, features, reference, settings, signal },
    onStage: note,
  });
  return { evaluation, images, reference };
}

/** The images that are there, or that the model draws now; undefined if that was stopped. */
async function imagesOf(
  subject: Subject,
  values: Options & { readonly out: string; readonly count: number },
  context: CommandContext,
  engine: Engine,
): Promise<ImageSet | undefined> {
  if (subject.kind === "images") return subject.images;
  const set = await drawSet(subject.drawer, values, context, engine);
  if (set.finished) return openImageSet(values.out);
  context.note(`stopped with ${set.images} images; the same command goes on`);
  return undefined;
}

/** Enough for digits, whose features are 64; published FIDs are of 50,000. */
const fewOf = ({ name }: FeatureNetwork): number => (name === digitNetworkName ? 2000 : 50_000);

const settingsOf = ({ neighbours, splitSize, bandwidth, infinity, quick }: Options): ScoreSettings => ({
  ...scoreDefaults,
  neighbours,
  splitSize,
  infinity,
  errors: !quick,
  ...(bandwidth !== undefined && { bandwidth }),
});

function factsOf(values: Options, images: ImageSet, reference: Reference) {
  const { neighbours, splitSize, bandwidth = "median", infinity, quick, threads } = values;
  const { network, isNetworkAssumed } = reference;
  return {
    settings: { neighbours, splitSize, bandwidth, infinity, quick },
    ...(images.origin && { origin: images.origin }),
    referenceNetwork: network && !isNetworkAssumed ? networkText(network) : "not said by the file",
    versions: versions(),
    machine: machineNow(threads),
  };
}
