/** Images token by token in random order (Li et al. 2024, section 3.4). B internal batch, L tokens of C numbers, P drawn at once. */
import { InputError } from "../array/input-error.ts";
import { int32 } from "../array/ndarray.ts";
import { generateTokens, tokenNoise, tokenStep } from "../diffusion/masking/generate-tokens.ts";
import { type GuidanceSchedule, maskLengths, tokenOrders } from "../diffusion/masking/masks.ts";
import { scheduleOf, type TokenProcess } from "../diffusion/process.ts";
import { respace, type Schedule } from "../diffusion/schedule.ts";
import type { CompileOptions } from "../engine/engine.ts";
import { concat, input } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import { tokenCount } from "../models/family.ts";
import { type MarConfig, tokenSize } from "../models/mar/config.ts";
import { mar } from "../models/mar/mar.ts";
import { unpatchify } from "../models/mar/patches.ts";
import { tokenDenoiser } from "../models/mar/token-denoiser.ts";
import { Params } from "../nn/params.ts";
import { placeWeights } from "../weights/placed-weights.ts";
import { type CacheSampling, refuseCache } from "./caching/cache-settings.ts";
import { inFixedRows } from "./fixed-rows.ts";
import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";

export interface TokenSampling {
  /** Iterations, each drawing some of the tokens. */
  readonly steps?: string;
  /** Timesteps that each token's denoising visits: "25", "ddim10". */
  readonly headSteps?: string;
  /** Scales the noise of the denoising steps. */
  readonly temperature?: number;
  /** Classifier-free guidance; 1 is none and costs half. */
  readonly cfgScale?: number;
  /** Guidance that grows with the tokens that are drawn, or the same for all. */
  readonly cfgSchedule?: GuidanceSchedule;
}

/**
 * The settings where a request says nothing. The original takes 64 iterations for 256 tokens, and 100 head steps that begin
 * at the last timestep, where an error of the noise is multiplied by 20,000; "ddim25" begins a little earlier.
 */
export const tokenDefaults = {
  ...{ steps: "16", headSteps: "ddim25", temperature: 1, cfgScale: 2, cfgSchedule: "linear" },
} as const satisfies TokenSampling;

/** Tokens that are denoised together, whatever the batch: so a token does not depend on how many others are drawn. */
export const HEAD_ROWS = 64;

/** Two sessions: the conditions of all tokens, and one denoising step of some of them. */
export async function compileTokenSampler(
  request: SamplerRequest,
  process: TokenProcess,
  settings: TokenSampling & CacheSampling,
): Promise<ImageSampler> {
  refuseCache(
    settings,
    "a masked autoregressive model sees other tokens in every iteration, so no step is like another",
  );
  const { steps, headSteps, temperature, cfgScale, cfgSchedule } = { ...tokenDefaults, ...settings };
  const config = request.model.config as unknown as MarConfig;
  const iterations = iterationsOf(steps);
  const lengths = maskLengths(tokenCount(config), iterations);
  const schedule = respace(scheduleOf(process), headSteps);
  const isGuided = cfgScale !== 1;
  const { trunk, head } = splitWeights(request.weights);
  const sessions = await compileParts(request, config, schedule, {
    ...{ isGuided, temperature, trunk: trunk.options, head: head.options },
  });
  return {
    evaluations: iterations,
    settings: { steps, headSteps, temperature, cfgScale, cfgSchedule },
    derived: { maskedTokens: lengths, timesteps: [...schedule.timesteps] },
    release: async () => void (await Promise.all([sessions.condition.release(), sessions.step.release()])),
    async sample({ first, y, onModelEvaluation }) {
      const keys = Array.from(y, (_, row) => ({
        ...{ seed: request.seed, purpose: "token order", step: 0, index: first + row },
      }));
      const labels = int32(isGuided ? Int32Array.from([...y, ...y.map(() => config.numClasses)]) : y);
      const plan = {
        ...{ orders: tokenOrders(keys, tokenCount(config)), iterations, schedule },
        ...{ bufferSize: config.bufferSize, tokenSize: tokenSize(config) },
        ...{ guidanceScale: cfgScale, guidanceSchedule: cfgSchedule },
      };
      const tokens = await generateTokens(plan, {
        async condition(state, visible) {
          const { z } = await sessions.condition.run({ ...trunk.fed, tokens: state, visible, y: labels });
          onModelEvaluation();
          return z!;
        },
        step: (feeds) =>
          inFixedRows(feeds.x.shape[0]!, HEAD_ROWS, { ...feeds }, async (part) => {
            return (await sessions.step.run({ ...head.fed, ...part })).sample!;
          }),
        noise: tokenNoise(request.seed, first),
      });
      return unpatchify(tokens, config);
    },
  };
}

interface PartOptions {
  readonly isGuided: boolean;
  readonly temperature: number;
  readonly trunk: CompileOptions;
  readonly head: CompileOptions;
}

async function compileParts(
  { engine, runBlock, batch }: SamplerRequest,
  config: MarConfig,
  schedule: Schedule,
  { isGuided, temperature, trunk, head }: PartOptions,
) {
  const p = new Params();
  const size = tokenSize(config);
  const twice = (x: ReturnType<typeof input>) => (isGuided ? concat([x, x], 0) : x);
  const inputs = {
    tokens: twice(input("tokens", [batch, tokenCount(config), size])),
    visible: twice(input("visible", [batch, symbolicDim("visible")], "int32")),
    y: input("y", [isGuided ? 2 * batch : batch], "int32"),
  };
  const rows = HEAD_ROWS;
  const guidance = { z: input("unlabelledZ", [rows, config.decoderSize]), scale: input("scale", []) };
  const { sample } = tokenStep(
    (of) => tokenDenoiser(p, config, of),
    schedule,
    {
      ...{ x: input("x", [rows, size]), noise: input("noise", [rows, size]), index: input("index", [rows], "int32") },
      ...{ z: input("z", [rows, config.decoderSize]), ...(isGuided && { guidance }) },
    },
    temperature,
  );
  const condition = await engine.compile({ outputs: { z: mar(p, config, inputs, runBlock) } }, trunk);
  try {
    return { condition, step: await engine.compile({ outputs: { sample } }, head) };
  } catch (error) {
    await condition.release();
    throw error;
  }
}

function splitWeights(weights: SamplerRequest["weights"]) {
  const isHead = (name: string) => name.startsWith("diffloss.");
  const all = [...weights];
  return {
    trunk: placeWeights(new Map(all.filter(([name]) => !isHead(name)))),
    head: placeWeights(new Map(all.filter(([name]) => isHead(name)))),
  };
}

/** @throws InputError for anything but a whole number. */
function iterationsOf(steps: string): number {
  if (/^\d+$/.test(steps)) return Number(steps);
  throw new InputError(`generate: steps of a masked autoregressive model are a number of iterations, got "${steps}"`);
}
