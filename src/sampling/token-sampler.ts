/** Images token by token in random order (Li et al. 2024, section 3.4). B internal batch, L tokens of C numbers, P sampled at once. */
import { int32, type NDArray, sizeOf, zeros } from "../array/ndarray.ts";
import { generateTokens, tokenNoise, tokenStep } from "../diffusion/masking/generate-tokens.ts";
import { maskLengths, tokenOrders } from "../diffusion/masking/masks.ts";
import { scheduleOf, type TokenProcess } from "../diffusion/process.ts";
import { respace, type Schedule } from "../diffusion/schedule.ts";
import { type NamedArrays, runAndRead } from "../engine/engine.ts";
import { concat, input } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tokenCount } from "../models/family.ts";
import { type MarConfig, tokenSize } from "../models/mar/config.ts";
import { mar } from "../models/mar/mar.ts";
import { unpatchify } from "../models/mar/patches.ts";
import { tokenDenoiser } from "../models/mar/token-denoiser.ts";
import { Params } from "../nn/params.ts";

import type { ImageSampler, SamplerRequest } from "./image-sampler.ts";
import { refuseCache, type SamplingSettings, tokenDefaults, wholeSteps } from "./sampling-settings.ts";

/** Tokens that are denoised together, whatever the batch: so a token does not depend on how many others are sampled. */
export const HEAD_ROWS = 64;

/** Two sessions: the conditions of all tokens, and one denoising step of some of them. */
export async function compileTokenSampler(
  request: SamplerRequest,
  process: TokenProcess,
  settings: SamplingSettings,
): Promise<ImageSampler> {
  refuseCache(
    settings,
    "a masked autoregressive model sees other tokens in every iteration, so no step is like another",
  );
  const { steps, headSteps, temperature, cfgScale, cfgSchedule } = { ...tokenDefaults, ...settings };
  const config = request.model.config as unknown as MarConfig;
  const iterations = wholeSteps(steps, "a masked autoregressive model are a number of iterations");
  const lengths = maskLengths(tokenCount(config), iterations);
  const schedule = respace(scheduleOf(process), headSteps);
  const isGuided = cfgScale !== 1;
  const parts = await compileParts(request, config, schedule, isGuided, temperature);
  return {
    modelEvaluations: iterations,
    settings: { steps, headSteps, temperature, cfgScale, cfgSchedule },
    derived: { maskedTokens: lengths, timesteps: [...schedule.timesteps] },
    release: () => parts.release(),
    async sample({ first, y, onModelEvaluation }) {
      const orderKey = { seed: request.seed, purpose: "token order", step: 0 };
      const keys = Array.from(y, (_, row) => ({ ...orderKey, index: first + row }));
      const labels = int32(isGuided ? Int32Array.from([...y, ...y.map(() => config.numClasses)]) : y);
      const plan = {
        orders: tokenOrders(keys, tokenCount(config)),
        iterations,
        schedule,
        bufferSize: config.bufferSize,
        tokenSize: tokenSize(config),
        guidanceScale: cfgScale,
        guidanceSchedule: cfgSchedule,
      };
      const tokens = await generateTokens(plan, {
        async condition(state, visible) {
          const z = await parts.condition({ tokens: state, visible, y: labels });
          onModelEvaluation();
          return z;
        },
        step: (feeds) => inFixedRows(feeds.x.shape[0]!, HEAD_ROWS, { ...feeds }, parts.step),
        noise: tokenNoise(request.seed, first),
      });
      return unpatchify(tokens, config);
    },
  };
}

async function compileParts(
  { engine, weights, runBlock, batch }: SamplerRequest,
  config: MarConfig,
  schedule: Schedule,
  isGuided: boolean,
  temperature: number,
) {
  const isHead = ([name]: readonly [string, unknown]) => name.startsWith("diffloss.");
  const trunk = new Map([...weights].filter((weight) => !isHead(weight)));
  const head = new Map([...weights].filter(isHead));
  const p = new Params();
  const size = tokenSize(config);
  const twice = (x: Tensor) => (isGuided ? concat([x, x], 0) : x);
  const inputs = {
    tokens: twice(input("tokens", [batch, tokenCount(config), size])),
    visible: twice(input("visible", [batch, symbolicDim("visible")], "int32")),
    y: input("y", [isGuided ? 2 * batch : batch], "int32"),
  };
  const conditionInput = (name: string) => input(name, [HEAD_ROWS, config.decoderSize]);
  const { sample } = tokenStep(
    (of) => tokenDenoiser(p, config, of),
    schedule,
    {
      x: input("x", [HEAD_ROWS, size]),
      noise: input("noise", [HEAD_ROWS, size]),
      index: input("index", [HEAD_ROWS], "int32"),
      z: conditionInput("z"),
      ...(isGuided && { guidance: { z: conditionInput("unlabelledZ"), scale: input("scale", []) } }),
    },
    temperature,
  );
  const condition = await engine.compile({ outputs: { z: mar(p, config, inputs, runBlock) } }, { constants: trunk });
  const step = await engine.compile({ outputs: { sample } }, { constants: head }).catch(async (error: unknown) => {
    await condition.release();
    throw error;
  });
  return {
    condition: async (feeds: NamedArrays) => (await runAndRead(condition, feeds)).z!,
    step: async (feeds: NamedArrays) => (await runAndRead(step, feeds)).sample!,
    release: async () => void (await Promise.all([condition.release(), step.release()])),
  };
}

/**
 * Runs `rows` rows of all feeds in parts of `size`, the last part padded with zeros; scalars go with every part. Products of
 * other sizes may add in another order, to other bits.
 */
async function inFixedRows(
  rows: number,
  size: number,
  feeds: NamedArrays,
  run: (part: NamedArrays) => Promise<NDArray>,
): Promise<NDArray<"float32">> {
  let all: NDArray<"float32"> | undefined;
  for (let first = 0; first < rows; first += size) {
    const count = Math.min(size, rows - first);
    const part = Object.entries(feeds).map(([name, x]) => [
      name,
      x.shape.length === 0 ? x : padded(x.rows(first, first + count), size),
    ]);
    const found = (await run(Object.fromEntries(part))).rows(0, count) as NDArray<"float32">;
    all ??= zeros("float32", [rows, ...found.shape.slice(1)]);
    all.data.set(found.data, first * sizeOf(found.shape.slice(1)));
  }
  return all!;
}

function padded(x: NDArray, size: number): NDArray {
  if (x.shape[0] === size) return x;
  const whole = zeros(x.dtype, [size, ...x.shape.slice(1)]);
  (whole.data as Float32Array).set(x.data as Float32Array);
  return whole;
}
