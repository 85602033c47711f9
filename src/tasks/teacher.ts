/** The teacher of `tinyfusion finetune`: whether a student can learn from it, and which blocks are compared. */
import { InputError } from "../array/input-error.ts";
import { type Process, processText } from "../diffusion/process.ts";
import { hasNullClass } from "../models/family.ts";
import { composedLayerMap, type LayerMap } from "../models/layer-pairs.ts";
import type { Model } from "../models/registry.ts";
import { parseLayerMap } from "../pruning/layer-map.ts";
import type { ModelFile, OpenedModel } from "../weights/model-file.ts";
import type { Values } from "./settings.ts";
import { overridingSettings, predictAlike, type processSettings } from "./shared-settings.ts";

/** What is learned from a teacher. */
export interface Distillation {
  readonly distill: "output" | "features" | "masked";
  /** That of the student's training. */
  readonly process: Process;
  /** Pairs of blocks as they were typed. */
  readonly layerMap: string | undefined;
}

/**
 * Checks what must be equal for a student to learn from a teacher.
 * @throws InputError if the two cannot see the same images and labels, predict other things, or cannot compare features.
 */
export function checkTeacher(
  student: OpenedModel,
  teacher: OpenedModel,
  values: Partial<Values<typeof processSettings>>,
  { distill, process }: Distillation,
): void {
  const cannot = (why: string) => new InputError(`${student.path} cannot learn from ${teacher.path}: ${why}`);
  const [own, other] = [student.model, teacher.model];
  if (own.family.name !== other.family.name) {
    throw cannot(`it is a ${own.family.name}, the teacher a ${other.family.name}, which predicts something else`);
  }
  const differences = differingFields(own, other, distill !== "output");
  if (differences.length > 0) throw cannot(`they differ in ${differences.join(", ")}`);
  const flags = overridingSettings(values, student);
  if (flags !== "" && !predictAlike(process, student.process)) {
    throw cannot(`${flags} is another process than its own (${processText(student.process)}); leave it out`);
  }
  if (teacher.processFrom !== undefined && !predictAlike(process, teacher.process)) {
    throw cannot(
      `the student's process is ${processText(process)}, the teacher's ${processText(teacher.process)}; ` +
        "use a teacher of the same process, or `distill` none",
    );
  }
}

/** Fields of the configurations that must be equal and are not, with both values. */
function differingFields(own: Model, other: Model, hasFeatures: boolean): string[] {
  const names = [
    ...["inChannels", "inputSize", "numClasses", "learnSigma"],
    ...(hasFeatures ? ["hiddenSize", "encoderSize", "decoderSize", "bufferSize", "patchSize"] : []),
  ];
  const fields = (config: object) => config as Readonly<Record<string, unknown>>;
  const [a, b] = [fields(own.config), fields(other.config)];
  const sizes = names.filter((name) => a[name] !== b[name]).map((name) => `${name} ${a[name]} and ${b[name]}`);
  const haveNone = [own, other].map(({ config }) => hasNullClass(config));
  return [...sizes, ...(haveNone[0] === haveNone[1] ? [] : [`nullClass ${haveNone.join(" and ")}`])];
}

const stacksOf = ({ model: { family, config } }: ModelFile): number[] => family.stacks(config);

/**
 * The pairs given, or those of the student's prunings since it was the teacher.
 * @throws InputError asking for pairs that the student's file does not tell.
 */
export function layerMapOf(
  { layerMap, distill }: Distillation,
  student: ModelFile,
  teacher: ModelFile,
  note: (line: string) => void,
): LayerMap {
  if (layerMap !== undefined) return parseLayerMap(layerMap, stacksOf(student), stacksOf(teacher));
  if (distill === "output") return [];
  const { prunings, path } = student;
  const depth = teacher.model.config.depth;
  if (prunings.length === 0) {
    throw new InputError(`${path} does not say which teacher blocks its blocks correspond to; give \`layerMap\``);
  }
  const parents = prunings.map(({ parent }) => parent === teacher.sha256);
  const depths = prunings.map(({ parentDepth }) => parentDepth === depth);
  const first = parents.includes(true) ? parents.lastIndexOf(true) : depths.lastIndexOf(true);
  if (first < 0) {
    const known = prunings.map(({ parentDepth }) => parentDepth).toReversed();
    throw new InputError(
      `${path} was pruned from ${known.join(" of ")} blocks, the teacher has ${depth}; give \`layerMap\``,
    );
  }
  const since = prunings.slice(first);
  const pairs = composedLayerMap(since.map((pruning) => pruning.layerMap));
  if (pairs.length === 0)
    throw new InputError(`${path} names no pairs of blocks to compare; give \`layerMap\` or \`distill\` output`);
  if (!parents[first]) note(`the teacher is not the file that ${path} was pruned from`);
  if (since.length > 1)
    note(`${path} was pruned ${since.length} times since the teacher; their layer maps are composed`);
  return pairs;
}
