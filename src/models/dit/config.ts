/** The shape of a diffusion transformer. */
import { z } from "zod";
import type { Heads } from "../../nn/layers.ts";
import { positive, stackDepth } from "../schema.ts";

/** Fields of a transformer body on patches of an image. */
export const bodyFields = {
  inputSize: positive,
  patchSize: positive,
  inChannels: positive,
  hiddenSize: positive,
  depth: stackDepth,
  numHeads: positive,
  mlpRatio: z.number().positive().default(4),
  /** What width pruning left of the `numHeads`; a head keeps its size, so attention is narrower than the hidden state. */
  keptHeads: positive.optional(),
  /** Channels between the two layers of an MLP, where they are not hiddenSize · mlpRatio. */
  mlpSize: positive.optional(),
  numClasses: positive,
  /** False where the table of labels has no row for "no label", since none was dropped in training. */
  nullClass: z.literal(false).optional(),
  learnSigma: z.boolean().default(true),
} as const;

type Body = z.infer<z.ZodObject<typeof bodyFields>>;

/** A schema with these fields that refuses sizes which do not divide. */
export const withBodyChecks = <T extends Body>(schema: z.ZodType<T>) =>
  schema
    .readonly()
    .refine((c) => c.inputSize % c.patchSize === 0, "inputSize must be a multiple of patchSize")
    .refine((c) => c.hiddenSize % c.numHeads === 0, "hiddenSize must be a multiple of numHeads")
    .refine((c) => (c.keptHeads ?? 1) <= c.numHeads, "keptHeads must not be more than numHeads")
    .refine((c) => c.hiddenSize % 4 === 0, "hiddenSize must be a multiple of 4 (two axes, sine and cosine)");

/** What `--model-config` files and checkpoint metadata must hold; unknown keys are refused. */
export const ditConfigSchema = withBodyChecks(
  z.strictObject({ family: z.literal("dit").default("dit"), ...bodyFields }),
);

/**
 * A DiT (Peebles and Xie 2023). `inputSize` is the height and width of the latent or image, `numClasses` excludes the
 * null class, `learnSigma` doubles the output channels.
 */
export type DiTConfig = z.infer<typeof ditConfigSchema>;

/** Channels the model predicts. */
export const outChannels = ({ inChannels, learnSigma }: DiTConfig): number => (learnSigma ? 2 : 1) * inChannels;

/** The widths of all blocks of a DiT or a SiT. */
type Widths = Pick<Body, "hiddenSize" | "numHeads" | "mlpRatio" | "keptHeads" | "mlpSize">;

/** The heads of attention in each block. */
export const attentionHeads = ({ hiddenSize, numHeads, keptHeads = numHeads }: Widths): Heads => ({
  count: keptHeads,
  size: hiddenSize / numHeads,
});

/** Channels between the two layers of the MLP in each block. */
export const mlpChannels = ({ hiddenSize, mlpRatio, mlpSize }: Widths): number =>
  mlpSize ?? Math.floor(hiddenSize * mlpRatio);
