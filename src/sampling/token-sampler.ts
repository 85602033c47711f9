/** Images token by token in random order (Li et al. 2024, section 3.4). B internal batch, L tokens of C numbers, P sampled at once. */
import { float32, int32, type NDArray, stackedRows } from "../array/ndarray.ts";
import { generateTokens, rowNoise, tokenNoise, tokenStep } from "../diffusion/masking/generate-tokens.ts";
import { maskLengths, tokenOrders } from "../diffusion/masking/masks.ts";
import { scheduleOf, type TokenProcess } from "../diffusion/process.ts";
import { respace, type Schedule } from "../diffusion/schedule.ts";
import { type DeviceArray, type Inputs, type Program, readAll, type Weights } from "../engine/engine.ts";
import { add, concat, gather, input, reshape } from "../graph/build.ts";
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

/** Programs for the conditions of all tokens, for those of some of them, and for one denoising step of these. */
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
      const noise = tokenNoise(request.seed, first);
      const tokens = await generateTokens<DeviceArray>(plan, {
        async condition(state, visible) {
          const { z } = await parts.condition.run({ tokens: state, visible, y: labels });
          onModelEvaluation();
          return z!;
        },
        async denoise(z, { rows, scale }) {
          const guidance = isGuided ? { scale: float32([scale], []) } : {};
          const found: NDArray<"float32">[] = [];
          for (let at = 0; at < rows.length; at += HEAD_ROWS) {
            const some = rows.subarray(at, at + HEAD_ROWS);
            const noiseOf = rowNoise(plan, noise, some, HEAD_ROWS);
            const x = await denoisePart(parts, z, some, { noiseOf, schedule, guidance });
            found.push(x.rows(0, some.length) as NDArray<"float32">);
          }
          z.release();
          return stackedRows(found);
        },
      });
      return unpatchify(tokens, config);
    },
  };
}

interface PartDraws {
  /** Noise [HEAD_ROWS, C] of a reverse step; 0 is the start. */
  noiseOf(k: number): NDArray;
  readonly schedule: Schedule;
  /** The scale, if there is any guidance. */
  readonly guidance: Readonly<Record<string, NDArray>>;
}

/** At most {@link HEAD_ROWS} tokens from noise to x_0; the state and what it is conditioned on stay on the device. */
async function denoisePart(
  { pick, step }: Awaited<ReturnType<typeof compileParts>>,
  z: DeviceArray,
  rows: Int32Array,
  { noiseOf, schedule, guidance }: PartDraws,
): Promise<NDArray> {
  const places = new Int32Array(HEAD_ROWS); // padding denoises the first token, for nothing
  places.set(rows);
  const conditions = await pick.run({ z, rows: int32(places) });
  const steps = schedule.betas.length;
  let state: Inputs = { x: noiseOf(0) };
  for (let index = steps - 1; index >= 0; index--) {
    const at = int32(new Int32Array(HEAD_ROWS).fill(index));
    state = await step.run({ ...conditions, ...guidance, ...state, index: at, noise: noiseOf(steps - index) });
  }
  for (const array of Object.values(conditions)) array.release();
  const { x } = await readAll(state as Record<string, DeviceArray>);
  return x!;
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
  const compiled: Program[] = [];
  const compile = async (
    outputs: Readonly<Record<string, Tensor>>,
    constants: Weights,
    donate: readonly string[] = [],
  ) => {
    const program = await engine.compile({ outputs }, { constants, donate });
    compiled.push(program);
    return program;
  };
  const release = async () => {
    for (const program of compiled) await program.release();
  };
  try {
    return {
      condition: await compile({ z: mar(p, config, inputs, runBlock) }, trunk),
      step: await compile({ x: sample }, head, ["x"]),
      pick: await compile(pickedRows(isGuided ? 2 * batch : batch, config, isGuided), new Map()),
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

/** The conditions `z` [HEAD_ROWS, D] of tokens with these rows in [N · L], and those without their labels. */
function pickedRows(images: number, config: MarConfig, isGuided: boolean): Record<string, Tensor> {
  const { decoderSize } = config;
  const all = images * tokenCount(config);
  const z = reshape(input("z", [images, tokenCount(config), decoderSize]), [all, decoderSize]);
  const rows = input("rows", [HEAD_ROWS], "int32");
  if (!isGuided) return { z: gather(z, rows) };
  return { z: gather(z, rows), unlabelledZ: gather(z, add(rows, all / 2)) };
}
