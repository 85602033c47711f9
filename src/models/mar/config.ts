/** The shape of a masked autoregressive model. */
import { z } from "zod";
import { positive, stackDepth } from "../schema.ts";

const rate = z.number().min(0).max(0.99);

/** What `--model-config` files and checkpoint metadata must hold; unknown keys are refused. */
export const marConfigSchema = z
  .strictObject({
    family: z.literal("mar"),
    inputSize: positive,
    patchSize: positive,
    inChannels: positive,
    encoderDepth: stackDepth,
    encoderSize: positive,
    encoderHeads: positive,
    decoderDepth: stackDepth,
    decoderSize: positive,
    decoderHeads: positive,
    /** Follows from the two stacks; may be left out. */
    depth: stackDepth.optional(),
    mlpRatio: z.number().positive().default(4),
    bufferSize: positive,
    denoiserDepth: stackDepth,
    denoiserSize: positive,
    numClasses: positive,
    /** False where no label was dropped in training: what stands for "no label" is then as it was at the start. */
    nullClass: z.literal(false).optional(),
    attentionDropout: rate.default(0.1),
    projectionDropout: rate.default(0.1),
  })
  .refine((c) => c.inputSize % c.patchSize === 0, "inputSize must be a multiple of patchSize")
  .refine((c) => c.encoderSize % c.encoderHeads === 0, "encoderSize must be a multiple of encoderHeads")
  .refine((c) => c.decoderSize % c.decoderHeads === 0, "decoderSize must be a multiple of decoderHeads")
  .refine(
    (c) => c.depth === undefined || c.depth === c.encoderDepth + c.decoderDepth,
    "depth must be encoderDepth + decoderDepth",
  )
  .transform((c) => ({ ...c, depth: c.encoderDepth + c.decoderDepth }))
  .readonly();

/**
 * A MAR (Li et al. 2024, Autoregressive image generation without vector quantization). `inputSize` is the height and
 * width of the latent or image, `bufferSize` the number of class tokens before the image's, `denoiserDepth` and
 * `denoiserSize` shape the MLP that denoises single tokens. Dropout is on in training only.
 */
export type MarConfig = z.infer<typeof marConfigSchema>;

/** Numbers in a token. */
export const tokenSize = ({ inChannels, patchSize }: MarConfig): number => inChannels * patchSize ** 2;
