/** `tinyfusion`: the tasks (train, prune, recover, sample, measure, export), and what they need. */

export { InputError } from "./array/input-error.ts";
export { float32, int32, NDArray, zeros } from "./array/ndarray.ts";
export { integers } from "./array/random.ts";
export { Autoencoder, type LoadedAutoencoder, loadAutoencoder } from "./data/autoencoder/autoencoder.ts";
export { drawLatents, type Posterior, scaledLatents } from "./data/autoencoder/posterior.ts";
export { imagenetClass, imagenetClassName } from "./data/class-names.ts";
export { type LabeledImages, loadDigits, loadIdx } from "./data/digits.ts";
export { decodeImage } from "./data/images/decode-image.ts";
export { drawSvg } from "./data/images/draw-svg.ts";
export { cachedImages, type PixelSettings } from "./data/images/image-folder.ts";
export type { ImageSet } from "./data/images/image-set.ts";
export { listImages } from "./data/images/list-images.ts";
export { openPixelCache, type PixelCacheRequest } from "./data/images/pixel-cache.ts";
export { centerCrop, unitImages } from "./data/images/prepare-images.ts";
export { type EncodeSettings, encodeImages } from "./data/latents/encode-images.ts";
export { openEncoder } from "./data/latents/encoder.ts";
export { openFeatureFolder } from "./data/latents/feature-folder.ts";
export { openLatents } from "./data/latents/open-latents.ts";
export { imagesInMemory, type TrainingSet, trainingSet } from "./data/training-set.ts";
export {
  defaultProcess,
  type Process,
  type ProcessKind,
  processOf,
  processText,
  scheduleOf,
} from "./diffusion/process.ts";
export type { Schedule } from "./diffusion/schedule.ts";
export { type DeviceName, deviceNames, openDevice } from "./engine/devices.ts";
export {
  type DeviceArray,
  type Engine,
  type NamedArrays,
  type Program,
  readAll,
  runAndRead,
  type Weight,
} from "./engine/engine.ts";
export { classifierInput, openDigitNetwork, predictedClasses } from "./evaluation/features/digit-network.ts";
export type { FeatureNetwork, ImageFeatures } from "./evaluation/features/extract-features.ts";
export { extractFeatures, type FeatureRequest } from "./evaluation/features/extract-features.ts";
export { type InceptionOptions, openInception } from "./evaluation/features/inception.ts";
export { digitImages, openImageSet } from "./evaluation/images/open-image-set.ts";
export { type NearestRows, nearestRows } from "./evaluation/metrics/distances.ts";
export {
  type FrechetDistance,
  type FrechetInfinity,
  type FrechetTo,
  frechetDistance,
  frechetInfinity,
  frechetTo,
} from "./evaluation/metrics/frechet.ts";
export { type Gaussian, type GaussianStats, gaussianStats } from "./evaluation/metrics/gaussian-stats.ts";
export { type InceptionScore, inceptionScore } from "./evaluation/metrics/inception-score.ts";
export { type Kernel, kernelDistance, medianKernel } from "./evaluation/metrics/kernel-distance.ts";
export { type MetricKernels, withMetricKernels } from "./evaluation/metrics/kernels.ts";
export { type PrecisionRecall, precisionRecall } from "./evaluation/metrics/precision-recall.ts";
export type { Reference } from "./evaluation/reference/reference.ts";
export { type MakeReferenceRequest, makeReference } from "./evaluation/reference/reference.ts";
export { readReferenceFile, writeReferenceFile } from "./evaluation/reference/reference-file.ts";
export {
  type DigitEvaluation,
  type DigitReference,
  digitReference,
  type ScoreDigitsRequest,
  scoreDigits,
} from "./evaluation/scores/digit-scores.ts";
export {
  type Checks,
  type Evaluation,
  type Memorisation,
  type Score,
  type ScoreKey,
  type ScoreRequest,
  type ScoreSettings,
  scoreDefaults,
  scoreOf,
} from "./evaluation/scores/evaluation.ts";
export { scoreImages } from "./evaluation/scores/score-images.ts";
export { type ModelCost, modelCost } from "./evaluation/speed/model-cost.ts";
export { type PairedSamples, pairedSamples } from "./evaluation/speed/paired-samples.ts";
export { samplerSpeeds } from "./evaluation/speed/sampler-speed.ts";
export { type Machine, machineNow, median } from "./evaluation/speed/timing.ts";
export type { Exported } from "./export/export-model.ts";
export { parseBudget } from "./pruning/budget.ts";
export { calibrationRows, compileCalibrationLoss, drawCalibration } from "./pruning/calibration.ts";
export { type DecisionFile, learnedDecision } from "./pruning/decision.ts";
export { drawMask, type GateGroup, gateGroups, type MaskDraw, type Temperature } from "./pruning/draw-mask.ts";
export { randomMask } from "./pruning/fixed-pruners.ts";
export { addGateGradient } from "./pruning/gate-gradient.ts";
export { type Group, parseGroups, type Stacks } from "./pruning/groups.ts";
export { keepBlocks, prunedFacts, savePruned } from "./pruning/keep-blocks.ts";
export { layerMap } from "./pruning/layer-map.ts";
export { type Delta, type LearnSettings, learnDefaults, learnMasks } from "./pruning/learn.ts";
export { candidateLosses, inMiddle, type LossOf, pick, withLosses } from "./pruning/loss-pruners.ts";
export { runGated } from "./pruning/mask-execution.ts";
export type { DecisionMoment } from "./pruning/mask-learning.ts";
export type { Choice, MaskLoss, PrunerContext, PrunerSettings } from "./pruning/pruner.ts";
export { type Method, methods, type PrunerMethod, pruners } from "./pruning/pruners.ts";
export { type RoutedBlock, runRouted } from "./pruning/run-routed.ts";
export { requirePrunableModel, type Widths, widthsOf } from "./pruning/width/channel-groups.ts";
export {
  decideWidths,
  keptOfFraction,
  prunedModel,
  type WidthDecision,
  widthPruningOf,
} from "./pruning/width/prune-width.ts";
export { barChart } from "./report/bar-chart.ts";
export { decisionChart } from "./report/decision-chart.ts";
export { binned, histogramChart } from "./report/histogram-chart.ts";
export { lineChart } from "./report/line-chart.ts";
export { htmlPage, type Section } from "./report/page.ts";
export { scatterChart } from "./report/scatter-chart.ts";
export { counted, listed } from "./report/words.ts";
export type { CacheRecord } from "./sampling/caching/step-cache.ts";
export { compileSampler } from "./sampling/compile-sampler.ts";
export { type GeneratedSet, type GenerateSetRequest, generateSet } from "./sampling/generation/generate-set.ts";
export type { ImageSampler } from "./sampling/image-sampler.ts";
export { type SampledImages, type SampleImagesRequest, sampleImages } from "./sampling/sample-images.ts";
export {
  type CacheCurves,
  type CacheSampling,
  flowDefaults,
  flowSamplers,
  gaussianDefaults,
  gaussianSamplers,
  type SamplingSettings,
  tokenDefaults,
} from "./sampling/sampling-settings.ts";
export { DivergedError } from "./sampling/usable-images.ts";
export { readLines } from "./storage/append-lines.ts";
export { removeTemporaries, requireWritableFolder, writeAtomically } from "./storage/atomic-write.ts";
export { localPath } from "./storage/download/local-path.ts";
export { type DownloadOptions, downloadSettings } from "./storage/download/settings.ts";
export { jsonText, readSealed, sealed } from "./storage/json.ts";
export { lockFolder, lockHolder } from "./storage/lock.ts";
export { readBytes } from "./storage/read.ts";
export { type BenchedModel, type BenchResult, benchModel } from "./tasks/bench-model.ts";
export { type CompareResult, compare } from "./tasks/compare.ts";
export { type ConvertResult, convert } from "./tasks/convert.ts";
export { openData } from "./tasks/data-settings.ts";
export { devices, type FoundDevice } from "./tasks/devices.ts";
export { type EncodeResult, encode, planEncode } from "./tasks/encode.ts";
export { type EvaluateResult, evaluate } from "./tasks/evaluate.ts";
export { type ExportResult, exportModel } from "./tasks/export-model.ts";
export { finetune, planFinetune } from "./tasks/finetune.ts";
export { type GenerateResult, generate } from "./tasks/generate.ts";
export { type Inspected, inspect } from "./tasks/inspect/inspect.ts";
export { openModel } from "./tasks/model-settings.ts";
export { type ParetoPlan, type ParetoResult, pareto, planPareto } from "./tasks/pareto/pareto.ts";
export { planPrune, prune } from "./tasks/prune/prune.ts";
export { type PrunedWidths, planPruneWidth, pruneWidth } from "./tasks/prune/prune-width.ts";
export type { PrunedResult } from "./tasks/prune/pruned-files.ts";
export { makeReferenceFile, type ReferenceResult } from "./tasks/reference.ts";
export { type SampleResult, sample } from "./tasks/sample.ts";
export { SettingError } from "./tasks/settings.ts";
export type { TaskHooks } from "./tasks/task.ts";
export { planTrain, type TrainedFiles, train } from "./tasks/train.ts";
export { planTrainClassifier, type TrainedClassifier, trainClassifier } from "./tasks/train-classifier.ts";
export type { TrainingPlan } from "./tasks/training-plan.ts";
export type { TrainingResult } from "./tasks/training-run.ts";
export { versions as packageVersions } from "./tasks/version.ts";
export { adamWDefaults } from "./training/adamw.ts";
export type { Checkpoint } from "./training/checkpoint-folder.ts";
export { type ClassifierSettings, classifierTask } from "./training/classifier.ts";
export { type DistillKind, type DistillSettings, distillDefaults } from "./training/distill.ts";
export { type FinetuneSettings, finetuneDefaults, finetuneTask } from "./training/finetune.ts";
export { NonFiniteError, runLoop, type Task } from "./training/loop.ts";
export { loraDefaults, mergeLora, withLora } from "./training/lora.ts";
export type { Batch, DistillTerms, Objective, Terms, Traced } from "./training/objective.ts";
export { objectiveOf } from "./training/objectives.ts";
export type { LearningRate } from "./training/rates.ts";
export { type MetricsLine, RunFolder } from "./training/run-folder.ts";
export { type TrainSettings, trainDefaults, trainTask } from "./training/train.ts";
export type { WeightTask, WeightTaskSettings } from "./training/weight-task.ts";
export { diffusersFolder } from "./weights/diffusers-folder.ts";
export {
  type LoadedModel,
  loadModel,
  type ModelFile,
  type OpenedModel,
  openStoredModel,
  saveModel,
  weightSpecs,
} from "./weights/model-file.ts";
export { type OpenedWeights, openWeights } from "./weights/open-weights.ts";
export { writeFolder } from "./weights/output-files.ts";
export { readWeights } from "./weights/read-weights.ts";
