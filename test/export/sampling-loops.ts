/** Sampling as a program without tinyfusion would write it: ONNX Runtime, `pipeline.json`, and numbers. Nothing of src is used. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";

interface Described {
  readonly file: string;
}

/** What the loops read of `pipeline.json`. */
export interface Pipeline {
  readonly image: { channels: number; size: number };
  readonly tokens: { count: number; size: number; patchSize: number; buffer: number; width: number };
  readonly process: { alphasCumprod: number[] };
  readonly guidance: { inside: boolean; channels: number };
  readonly classes: { none: number };
  readonly parts: Readonly<Record<string, Described>>;
  readonly vae: (Described & { pixelsPerLatent: number }) | null;
  readonly sampling: {
    cfgScale: number;
    timesteps: number[];
    times: number[];
    maskedTokens: number[];
    cfgScales: number[];
  };
}

export const readPipeline = (folder: string): Pipeline =>
  JSON.parse(readFileSync(join(folder, "pipeline.json"), "utf8"));

const open = (folder: string, { file }: Described) => ort.InferenceSession.create(join(folder, file));
const floats = (data: Float32Array, ...shape: number[]) => new ort.Tensor("float32", data, shape);
const same = (value: number, count: number) => floats(new Float32Array(count).fill(value), count);
const ints = (values: ArrayLike<number>, ...shape: number[]) => new ort.Tensor("int32", Int32Array.from(values), shape);

/** DDIM without noise, from x [N, C, S, S]. */
export async function ddim(folder: string, x: Float32Array, labels: number[]): Promise<Float32Array> {
  const { image, process, parts, sampling, guidance, classes } = readPipeline(folder);
  const [n, shape] = [labels.length, [labels.length, image.channels, image.size, image.size]];
  const session = await open(folder, parts.denoiser!);
  const noiseFor = async (t: number, y: number[], extra = {}) =>
    (await session.run({ x: floats(x, ...shape), t: same(t, n), y: ints(y, n), ...extra })).noise!.data as Float32Array;
  for (let i = sampling.timesteps.length - 1; i >= 0; i--) {
    const t = sampling.timesteps[i]!;
    let noise: Float32Array;
    if (guidance.inside) noise = await noiseFor(t, labels, { cfgScale: floats(Float32Array.of(sampling.cfgScale)) });
    else {
      const [cond, none] = [
        await noiseFor(t, labels),
        await noiseFor(
          t,
          labels.map(() => classes.none),
        ),
      ];
      noise = none.map((value, j) => value + sampling.cfgScale * (cond[j]! - value));
    }
    const alpha = process.alphasCumprod[t]!;
    const next = i > 0 ? process.alphasCumprod[sampling.timesteps[i - 1]!]! : 1;
    x = x.map((value, j) => {
      const start = (value - Math.sqrt(1 - alpha) * noise[j]!) / Math.sqrt(alpha);
      return Math.sqrt(next) * start + Math.sqrt(1 - next) * noise[j]!;
    });
  }
  await session.release();
  return x;
}

/** Euler's method, from x [N, C, S, S]; guidance is inside. */
export async function euler(folder: string, x: Float32Array, labels: number[]): Promise<Float32Array> {
  const { image, parts, sampling } = readPipeline(folder);
  const [n, shape] = [labels.length, [labels.length, image.channels, image.size, image.size]];
  const session = await open(folder, parts.denoiser!);
  for (let k = 0; k + 1 < sampling.times.length; k++) {
    const [t, next] = [sampling.times[k]!, sampling.times[k + 1]!];
    const cfgScale = floats(Float32Array.of(sampling.cfgScale));
    const { velocity } = await session.run({ x: floats(x, ...shape), t: same(t, n), y: ints(labels, n), cfgScale });
    x = x.map((value, j) => value + (next - t) * (velocity!.data[j] as number));
  }
  await session.release();
  return x;
}

/** Random numbers of the MAR loop: C numbers to start a token from and C for each of its steps, and orders of tokens. */
export interface TokenRandomness {
  readonly orders: readonly Int32Array[];
  noise(image: number, token: number, length: number): Float32Array;
}

/** Tokens in random order, each by DDPM with its learned variance; guidance is inside. Gives tokens [N, L, C]. */
export async function tokens(folder: string, labels: number[], random: TokenRandomness): Promise<Float32Array> {
  const { tokens: of, parts, sampling } = readPipeline(folder);
  const { count, size, buffer, width } = of;
  const [condition, denoiser] = [await open(folder, parts.condition!), await open(folder, parts["token-denoiser"]!)];
  const state = new Float32Array(labels.length * count * size);
  const ascending = (places: Int32Array) => [...places].sort((a, b) => a - b);
  for (const [k, masked] of sampling.maskedTokens.entries()) {
    const before = sampling.maskedTokens[k - 1] ?? count;
    const visible = random.orders.flatMap((order) => [
      ...Array(buffer).keys(),
      ...ascending(order.slice(before)).map((token) => buffer + token),
    ]);
    const { z, unlabelledZ } = await condition.run({
      tokens: floats(state, labels.length, count, size),
      visible: ints(visible, labels.length, buffer + count - before),
      y: ints(labels, labels.length),
    });
    const last = k === sampling.maskedTokens.length - 1;
    const drawn = random.orders.flatMap((order, n) =>
      ascending(order.slice(last ? 0 : masked, before)).map((l) => [n, l]),
    );
    const rowsOf = (all: ort.Tensor) => {
      const rows = drawn.flatMap(([n, l]) => {
        const from = (n! * count + l!) * width;
        return [...(all.data as Float32Array).subarray(from, from + width)];
      });
      return floats(Float32Array.from(rows), drawn.length, width);
    };
    const cfgScale = floats(Float32Array.of(sampling.cfgScales[k]!));
    const conditions = { z: rowsOf(z!), unlabelledZ: rowsOf(unlabelledZ!), cfgScale };
    const found = await denoised(folder, denoiser, drawn as [number, number][], conditions, random);
    for (const [i, [n, l]] of drawn.entries()) {
      state.set(found.subarray(i * size, (i + 1) * size), (n! * count + l!) * size);
    }
  }
  await Promise.all([condition.release(), denoiser.release()]);
  return state;
}

async function denoised(
  folder: string,
  session: ort.InferenceSession,
  drawn: readonly (readonly [number, number])[],
  conditions: Record<string, ort.Tensor>,
  random: TokenRandomness,
): Promise<Float32Array> {
  const { tokens: of, process, sampling } = readPipeline(folder);
  const [size, steps] = [of.size, sampling.timesteps.length];
  const noises = drawn.map(([n, l]) => random.noise(n, l, (steps + 1) * size));
  const noiseAt = (k: number) =>
    Float32Array.from(noises.flatMap((all) => [...all.subarray(k * size, (k + 1) * size)]));
  const alphas = sampling.timesteps.map((t) => process.alphasCumprod[t]!);
  let x = noiseAt(0);
  for (let i = steps - 1; i >= 0; i--) {
    const feeds = { x: floats(x, drawn.length, size), t: same(sampling.timesteps[i]!, drawn.length), ...conditions };
    const { noise, variance } = await session.run(feeds);
    const [alpha, before] = [alphas[i]!, alphas[i - 1] ?? 1];
    const beta = 1 - alpha / before;
    const posterior = (at: number) => ((1 - alphas[at]! / alphas[at - 1]!) * (1 - alphas[at - 1]!)) / (1 - alphas[at]!);
    const low = Math.log(i > 0 ? posterior(i) : posterior(1)); // the first step borrows the second's
    const z = noiseAt(steps - i);
    x = x.map((value, j) => {
      const start = (value - Math.sqrt(1 - alpha) * (noise!.data[j] as number)) / Math.sqrt(alpha);
      const mean = (Math.sqrt(before) * beta * start + Math.sqrt(1 - beta) * (1 - before) * value) / (1 - alpha);
      const share = ((variance!.data[j] as number) + 1) / 2;
      return mean + (i > 0 ? Math.exp((share * Math.log(beta) + (1 - share) * low) / 2) * z[j]! : 0);
    });
  }
  return x;
}

/** Latents [N, Z, S, S] to images. */
export async function decode(folder: string, latents: Float32Array, rows: number): Promise<Float32Array> {
  const { image, vae } = readPipeline(folder);
  const session = await open(folder, vae!);
  const { image: y } = await session.run({ latents: floats(latents, rows, image.channels, image.size, image.size) });
  await session.release();
  return y!.data as Float32Array;
}
