/** All metrics of images against real ones, with errors, warnings and a report. */

import { join } from "node:path";
import type { ImageSet } from "../data/images/image-set.ts";
import type { Engine } from "../engine/engine.ts";
import { digitNetworkName } from "../evaluation/features/digit-network.ts";
import { extractFeatures, type FeatureNetwork } from "../evaluation/features/extract-features.ts";
import { holdsImageFiles, openImageSet } from "../evaluation/images/open-image-set.ts";
import { type MetricKernels, withMetricKernels } from "../evaluation/metrics/kernels.ts";
import { networkText, type Reference, requireDimensions } from "../evaluation/reference/reference.ts";
import { type Evaluation, type ScoreSettings, scoreDefaults } from "../evaluation/scores/evaluation.ts";
import { requireEnough, requireScorable, scoreImages } from "../evaluation/scores/score-images.ts";
import { machineNow } from "../evaluation/speed/timing.ts";
import { requireWritableFile, writeAtomically } from "../storage/atomic-write.ts";
import { defaultFolder, type EvaluateInput, openInput, refuseOtherEvaluation } from "./evaluate-input.ts";
import { evaluationReport } from "./evaluation-report.ts";
import {
  blankFeatures,
  featureRequest,
  featureSettings,
  openNetwork,
  openReference,
  referenceSettings,
} from "./evaluation-settings.ts";
import { sampleSet, setSettings } from "./generate.ts";
import { quoted, required, SettingError, type SettingTable, type Values } from "./settings.ts";
import { engineSettings } from "./shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

export const evaluateSettings = {
  input: { kind: "weights", help: "images, a model or a run" },
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
    help: "images per split of the Inception Score",
  },
  bandwidth: { kind: "number", min: 1e-9, help: "bandwidth of the kernel distance [median distance]" },
  infinity: { kind: "flag", help: "Fréchet distance extrapolated to infinitely many samples" },
  quick: { kind: "flag", help: "no standard errors: ten times faster" },
  out: { kind: "folder", help: "folder for evaluation.json, report.html and features [evaluations/NAME]" },
  ...setSettings,
} as const satisfies SettingTable;

type EvaluateValues = Values<typeof evaluateSettings>;

export interface EvaluateResult {
  readonly evaluation: Evaluation;
  /** The content of `evaluation.json`: the evaluation, and all that it depends on. */
  readonly record: Readonly<Record<string, unknown>>;
  /** Paths of what was written. */
  readonly files: { readonly json: string; readonly report: string };
}

/**
 * Scores images, or a model that samples them first.
 * @throws InputError for what cannot be scored or compared, before anything is sampled; the signal's reason: finished
 *   features and images stay, and are used by the next call.
 */
export async function evaluate(settings: TaskSettings<typeof evaluateSettings>): Promise<EvaluateResult> {
  const { values, context } = await startTask(evaluateSettings, settings);
  const path = required("input", values.input);
  refuseNeedlessCrop([path, values.reference], values);
  const out = values.out ?? defaultFolder(path);
  const files = { json: join(out, "evaluation.json"), report: join(out, "report.html") };
  for (const file of Object.values(files)) requireWritableFile(file);
  const engine = context.engine();
  const input = await openInput(path, join(out, "images"), values, context, engine);
  if (input.kind === "images") refuseSampling(context.given, path);
  if (values.out === undefined) refuseOtherEvaluation(files.json, input.name);
  const network = await openNetwork(values, input, engine);
  try {
    const { evaluation, images, reference } = await withMetricKernels(engine, (kernels) =>
      scored(values, context, { input, kernels, network, engine, out }),
    );
    const settings = recordOf(values, images, reference);
    const record = { ...evaluation, ...settings };
    await writeAtomically(files.json, `${JSON.stringify(record, null, 2)}\n`); // first: the scores took the longest
    const { command } = context;
    await writeAtomically(files.report, await evaluationReport({ evaluation, images, reference, settings, command }));
    return { evaluation, record, files };
  } finally {
    await network.release();
  }
}

/** @throws SettingError for a crop of what is no folder of image files. */
function refuseNeedlessCrop(paths: readonly (string | undefined)[], { size }: EvaluateValues): void {
  if (size === undefined || paths.some((path) => path !== undefined && holdsImageFiles(path))) return;
  throw new SettingError("`size` crops folders of image files; neither the images nor `reference` are one");
}

/** @throws SettingError for settings of sampling beside existing images. */
function refuseSampling(given: ReadonlySet<string>, path: string): void {
  const found = Object.keys(setSettings).find((name) => !(name in engineSettings) && given.has(name));
  if (found) throw new SettingError(`${quoted(found)} applies to models that sample images; ${path} holds images`);
}

interface Opened {
  readonly input: EvaluateInput;
  readonly kernels: MetricKernels;
  readonly network: FeatureNetwork;
  readonly engine: Engine;
  readonly out: string;
}

/** The reference comes first: what cannot be compared with it is not sampled. */
async function scored(
  values: EvaluateValues,
  context: TaskContext,
  { input, kernels, network, engine, out }: Opened,
): Promise<{ readonly evaluation: Evaluation; readonly images: ImageSet; readonly reference: Reference }> {
  const { note, signal } = context;
  const settings = scoreSettings(values);
  const count = input.kind === "images" ? input.images.count : (values.count ?? defaultCount(network));
  requireEnough({ name: input.name, count });
  const folder = join(out, "features");
  const request = { kernels, network, comparedWith: input, crop: values.size, folder, context };
  note(`features of the reference by ${network.name}`);
  const reference = await openReference(values, request);
  requireScorable({ network, reference, settings, images: { ...input, count } });
  requireDimensions(reference, await blankFeatures(network, input), network.name);
  const images = await imagesOf(input, { ...values, out: input.name, count }, context, engine);
  note(`features of ${images.count} images of ${images.name}`);
  const features = await extractFeatures(featureRequest(images, request));
  const onStage = note;
  const evaluation = await scoreImages({ kernels, network, images, features, reference, settings, signal, onStage });
  return { evaluation, images, reference };
}

/** The existing images, or those that the model samples now. @throws the signal's reason. */
async function imagesOf(
  input: EvaluateInput,
  values: EvaluateValues & { readonly out: string; readonly count: number },
  context: TaskContext,
  engine: Engine,
): Promise<ImageSet> {
  if (input.kind === "images") return input.images;
  const { finished } = await sampleSet(input.model, values, context, engine);
  if (!finished) context.signal.throwIfAborted();
  return openImageSet(values.out);
}

/** Enough for digits, whose features are 64; published FIDs are of 50,000. */
const defaultCount = ({ name }: FeatureNetwork): number => (name === digitNetworkName ? 2000 : 50_000);

const scoreSettings = ({ neighbours, splitSize, bandwidth, infinity, quick }: EvaluateValues): ScoreSettings => ({
  ...scoreDefaults,
  neighbours,
  splitSize,
  infinity,
  errors: !quick,
  ...(bandwidth !== undefined && { bandwidth }),
});

function recordOf(values: EvaluateValues, images: ImageSet, reference: Reference) {
  const { neighbours, splitSize, bandwidth = "median", infinity, quick, threads } = values;
  const { network, isNetworkAssumed } = reference;
  return {
    settings: { neighbours, splitSize, bandwidth, infinity, quick },
    ...(images.origin && { origin: images.origin }),
    referenceNetwork: network && !isNetworkAssumed ? networkText(network) : "not said by the file",
    versions: versions(),
    machine: machineNow(threads, values.device),
  };
}
