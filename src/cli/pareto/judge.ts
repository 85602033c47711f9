/** How `tinyfusion pareto` judges the images of its cells: by the same network and reference as `tinyfusion evaluate`. */
import { join } from "node:path";
import type { Engine } from "../../engine/engine.ts";
import type { FeatureNetwork } from "../../evaluation/features/extract-features.ts";
import { digitImages } from "../../evaluation/images/open-image-set.ts";
import { withMetricKernels } from "../../evaluation/metrics/kernels.ts";
import {
  imagesSha256,
  type Reference,
  referenceSha256,
  requireDimensions,
} from "../../evaluation/reference/reference.ts";
import { scoreDefaults } from "../../evaluation/scores/evaluation.ts";
import { requireScorable } from "../../evaluation/scores/score-images.ts";
import { type Decoder, decoderSettings, imageSide, openDecoder } from "../../tasks/decoder-settings.ts";
import {
  blankFeatures,
  featureSettings,
  openNetwork,
  openReference,
  referenceSettings,
  requireReference,
} from "../../tasks/evaluation-settings.ts";
import { featureScorer, type Scorer } from "../../tasks/pareto/score.ts";
import type { SettingTable, Values } from "../../tasks/settings.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { CommandContext } from "../command.ts";

export const judgeOptions = {
  ...featureSettings,
  reference: referenceSettings.reference,
  keep: referenceSettings.keep,
  ...decoderSettings,
} as const satisfies SettingTable;

type JudgeValues = Values<typeof judgeOptions> & { readonly count: number; readonly out: string };

export interface Judge {
  readonly scorer: Scorer;
  /** Looks at the reference, so that nothing is drawn that cannot be compared. @throws InputError for one that does not fit. */
  ready(): Promise<unknown>;
  release(): Promise<void>;
}

/**
 * Opens what the options name. The reference is only read for its identity, and looked at when it is needed.
 * @throws InputError for a network, reference or autoencoder that is missing, damaged or of another kind.
 */
export async function openJudge(
  values: JudgeValues,
  context: CommandContext,
  file: ModelFile,
  engine: Engine,
): Promise<Judge> {
  const decoder = await openDecoder(values, file.model.config, engine, context.note);
  const side = imageSide("pareto", file, decoder);
  const network = await openNetwork(values, { height: side, width: side }, engine);
  try {
    requireReference(values.reference, network);
    const facts = await factsOf(values, network, decoder);
    const reference = once(() => referenceOf(values, context, { network, side, engine }));
    const { signal } = context;
    const decode = decoder && { decode: decoder.decode };
    const scorer = featureScorer({ engine, network, reference, side, facts, signal, ...decode });
    const release = async () => {
      await decoder?.release();
      await network.release();
    };
    return { scorer, ready: reference, release };
  } catch (error) {
    await network.release();
    throw error;
  }
}

/** All that decides a score besides the images. */
async function factsOf(
  { reference, keep, tiled }: JudgeValues,
  { name, settings }: FeatureNetwork,
  decoder: Decoder | undefined,
) {
  const { neighbours, splitSize } = scoreDefaults;
  const sha256 = reference === undefined ? await imagesSha256(digitImages("train")) : await referenceSha256(reference);
  return {
    network: { name, ...settings },
    reference: { sha256, keep },
    ...(decoder && { decoder: { sha256: await decoder.sha256(), tiled } }),
    ...{ neighbours, splitSize },
  };
}

interface Opened {
  readonly network: FeatureNetwork;
  readonly side: number;
  readonly engine: Engine;
}

async function referenceOf(
  values: JudgeValues,
  context: CommandContext,
  { network, side, engine }: Opened,
): Promise<Reference> {
  const { note } = context;
  const images = { name: "the cells", count: values.count, height: side, width: side };
  note(`looking at the reference with ${network.name}`);
  const folder = join(values.out, "features");
  const reference = await withMetricKernels(engine, (kernels) =>
    openReference(values, { kernels, network, comparedWith: images, folder, context }),
  );
  requireScorable({ network, reference, settings: scoreDefaults, images });
  requireDimensions(reference, await blankFeatures(network, images), network.name);
  return reference;
}

/** The same result for each call; after an error the next call tries again. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= work().catch((error: unknown) => {
      result = undefined;
      throw error;
    });
    return result;
  };
}
