/** A folder that diffusers' `DiTPipeline.from_pretrained` loads: transformer, scheduler, and autoencoder if there is one. */

import type { WritableTensor } from "../formats/safetensors-write.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { autoencoderToDiffusers, type StoredAutoencoder } from "./autoencoder-file.ts";
import type { SaidModel } from "./choose-model.ts";
import { modelToDiffusers, processToDiffusers } from "./diffusers-config.ts";
import { requireFixedPositions, toDiffusers } from "./diffusers-weights.ts";
import { describeModel } from "./model-description.ts";
import { type OutputFile, safetensorsFiles } from "./output-files.ts";

/** What goes into the folder. */
export interface DiffusersFolder extends Omit<SaidModel, "tensors"> {
  readonly tensors: ReadonlyMap<string, WritableTensor>;
  readonly autoencoder?: StoredAutoencoder;
  /** Names of the classes by label; `DiTPipeline` splits them at commas. */
  readonly classNames?: readonly string[];
  readonly shardBytes: number;
  /** What is done to each tensor of the file before it is written. */
  readonly prepared: (tensors: Iterable<WritableTensor>) => WritableTensor[];
}

const stem = "diffusion_pytorch_model";

/**
 * The files of the folder; tensors are read while they are written. `where` names the model in errors.
 * @throws InputError for a model or a process that diffusers does not have.
 */
export async function diffusersFolder(folder: DiffusersFolder, where: string): Promise<OutputFile[]> {
  const { model, facts, tensors, autoencoder, classNames, shardBytes, prepared } = folder;
  const transformer = modelToDiffusers(model, where);
  const scheduler = processToDiffusers(facts.process, where);
  const config = model.config as DiTConfig;
  await requireFixedPositions(tensors.get("pos_embed")!, config, where);
  const named = prepared(toDiffusers(tensors.values(), config));
  const weights = safetensorsFiles(named, describeModel(model, facts), { shardBytes, stem });
  return [
    ...inFolder("transformer", weights),
    { name: "transformer/config.json", content: jsonText(transformer) },
    { name: "scheduler/scheduler_config.json", content: jsonText(scheduler) },
    ...(autoencoder ? inFolder("vae", autoencoderFiles(autoencoder, folder)) : []),
    { name: "model_index.json", content: jsonText(pipelineIndex(autoencoder !== undefined, classNames)) },
  ];
}

function autoencoderFiles(
  { config, tensors }: StoredAutoencoder,
  { shardBytes, prepared }: DiffusersFolder,
): OutputFile[] {
  const weights = safetensorsFiles(prepared(tensors.values()), { format: "pt" }, { shardBytes, stem });
  return [...weights, { name: "config.json", content: jsonText(autoencoderToDiffusers(config)) }];
}

/** `model_index.json`; a part that is null is given to `from_pretrained` by its caller. */
function pipelineIndex(hasAutoencoder: boolean, classNames: readonly string[] | undefined): object {
  return {
    _class_name: "DiTPipeline",
    _diffusers_version: "0.27.0",
    ...(classNames && { id2label: Object.fromEntries(classNames.entries()) }),
    scheduler: ["diffusers", "DDIMScheduler"],
    transformer: ["diffusers", "DiTTransformer2DModel"],
    vae: hasAutoencoder ? ["diffusers", "AutoencoderKL"] : [null, null],
  };
}

const inFolder = (folder: string, files: readonly OutputFile[]): OutputFile[] =>
  files.map(({ name, content }) => ({ name: `${folder}/${name}`, content }));

const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
