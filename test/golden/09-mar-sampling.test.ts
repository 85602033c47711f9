/** MAR's token denoiser, single reverse steps and whole generations against the original. */

import { describe, expect, it } from "vitest";
import { float32, int32, type NDArray, stackedRows } from "../../src/array/ndarray.ts";
import { generateTokens, rowNoise, type TokenNoise, tokenStep } from "../../src/diffusion/masking/generate-tokens.ts";
import { tokenRows } from "../../src/diffusion/masking/masks.ts";
import { asImages, asTokens, tokenModel } from "../../src/diffusion/masking/token-loss.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { concat, input, reshape } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { mar } from "../../src/models/mar/mar.ts";
import { unpatchify } from "../../src/models/mar/patches.ts";
import {
  config,
  denoiser,
  type MarRun,
  p,
  sampleSchedule,
  settings,
  storedOrders,
  tensor,
  weights,
} from "./09-mar-fixture.ts";
import { guided } from "./both-halves.ts";
import { runOnce } from "./dit-fixture.ts";
import { atLeastOne } from "./fixture.ts";
import "./matchers.ts";

const size = settings.token_embed_dim;
const steps = sampleSchedule.betas.length;
const orders = storedOrders("sample/orders");
const [images, length] = [orders.length, settings.seq_len];

describe("MAR's token denoiser", () => {
  const [x, t, c] = ["net/x", "net/t", "net/c"].map(tensor) as [NDArray, NDArray, NDArray];

  it("predicts what the original predicts", async () => {
    const output = denoiser({ x: input("x", x.shape), t: input("t", t.shape), z: input("z", c.shape) });
    const found = await runOnce({ outputs: { output } }, { ...weights, x, t: float32(t.data as Int32Array), z: c });
    expect(found.output).toMatchGolden(tensor("net/output"), { relative: 1e-5 });
  });

  it("guides all channels of the noise", async () => {
    const expected = tensor("net/cfg_output");
    const rows = expected.shape[0]!;
    const z = reshape(input("z", [rows, config.decoderSize]), [1, rows, config.decoderSize]);
    const inputs = { t: input("t", [rows]), y: input("y", [rows], "int32"), x: asImages(input("x", [rows, size])) };
    const guidance = { scale: input("scale", []), channels: size, half: rows / 2 };
    const output = asTokens(guided(tokenModel(denoiser, z), { ...inputs, ...guidance }));
    const feeds = { x: x.rows(0, rows), z: c.rows(0, rows), t: float32(t.rows(0, rows).data as Int32Array) };
    const y = int32(Array.from({ length: rows }, (_, row) => row));
    const at = async (scale: number) => {
      const found = await runOnce({ outputs: { output } }, { ...weights, ...feeds, y, scale: float32([scale], []) });
      return found.output!.data as Float32Array;
    };
    // The sidecar does not say the scale: one number of the output gives it, the others must agree.
    const [none, one] = [(await at(0))[0]!, (await at(1))[0]!];
    const scale = ((expected.data as Float32Array)[0]! - none) / (one - none);
    expect(Math.abs(scale - 1)).toBeGreaterThan(0.1);
    expect(await at(scale)).toMatchGolden(expected, { relative: 1e-5 });
  });
});

describe("one reverse step of tokens", () => {
  it("agrees with the original at every index, with temperature", async () => {
    const temperature = Number(/temperature ([\d.]+)/.exec((settings as unknown as { pstep: string }).pstep)![1]);
    const [x, z, noise] = ["pstep/x", "pstep/c", "pstep/noise"].map(tensor) as [NDArray, NDArray, NDArray];
    const index = input("index", [x.shape[0]!], "int32");
    const inputs = { x: input("x", x.shape), z: input("z", z.shape), noise: input("noise", noise.shape), index };
    const { sample, xStart } = tokenStep(denoiser, sampleSchedule, inputs, temperature);
    const feeds = { ...weights, x, z, noise, index: tensor("pstep/index") };
    const found = await runOnce({ outputs: { sample, xStart } }, feeds);
    expect(found.sample).toMatchGolden(tensor("pstep/sample"), { relative: 1e-4 });
    expect(found.xStart).toMatchGolden(tensor("pstep/pred_xstart"), { relative: 1e-4 });
  });
});

/** Sessions of a run: the conditions of all tokens, and a reverse step of some. */
async function compile(run: MarRun) {
  const isGuided = run.cfg !== 1;
  const twice = (name: string, shape: Parameters<typeof input>[1], dtype: "float32" | "int32") => {
    const x = input(name, shape, dtype);
    return isGuided ? concat([x, x], 0) : x;
  };
  const z = mar(p, config, {
    tokens: twice("tokens", [images, length, size], "float32"),
    visible: twice("visible", [images, symbolicDim("visible")], "int32"),
    y: input("y", [isGuided ? 2 * images : images], "int32"),
  });
  const rows = symbolicDim("tokens");
  const inputs = {
    x: input("x", [rows, size]),
    index: input("index", [rows], "int32"),
    noise: input("noise", [rows, size]),
    z: input("z", [rows, config.decoderSize]),
    ...(isGuided && { guidance: { z: input("unlabelledZ", [rows, config.decoderSize]), scale: input("scale", []) } }),
  };
  const { sample } = tokenStep(denoiser, sampleSchedule, inputs, run.temperature);
  const of = (prefix: boolean) =>
    Object.fromEntries(Object.entries(weights).filter(([name]) => name.startsWith("diffloss.") === prefix));
  return {
    ...{ conditions: await cpuEngine().compile({ outputs: { z } }), trunk: of(false) },
    ...{ step: await cpuEngine().compile({ outputs: { sample } }), head: of(true) },
  };
}

/** Which iteration generates a token, and its row among that iteration's. */
function placesOf(run: MarRun): Map<number, readonly [iteration: number, row: number]> {
  const places = new Map<number, readonly [number, number]>();
  let before = length;
  run.n_pred_tokens.forEach((count, iteration) => {
    const after = before - count / images;
    tokenRows(orders, after, before).forEach((row, i) => {
      places.set(row, [iteration, i]);
    });
    before = after;
  });
  return places;
}

describe("generation", () => {
  it.each(atLeastOne(Object.entries(settings.sample_runs), "runs"))("%s follows the original", async (name, run) => {
    const [sessions, places] = [await compile(run), placesOf(run)];
    const key = (iteration: number, what: string) => `sample/${name}/iter${iteration}/${what}`;
    const row = (x: NDArray, i: number) => x.rows(i, i + 1).data as Float32Array;
    const labels = [...(tensor("sample/labels").data as Int32Array)];
    const y = int32(run.cfg === 1 ? labels : [...labels, ...labels.map(() => config.numClasses)]);
    let iteration = -1;
    const plan = {
      ...{ orders, iterations: run.num_iter, bufferSize: config.bufferSize, tokenSize: size },
      ...{ schedule: sampleSchedule, guidanceScale: run.cfg, guidanceSchedule: run.cfg_schedule },
    };
    const noise: TokenNoise = (image, token, count) => {
      const [at, i] = places.get(image * length + token)!;
      const stored = tensor(key(at, "step_noise"));
      const later = Array.from({ length: steps }, (_, k) => [
        ...row(stored.rows(k, k + 1).reshape(stored.shape.slice(1)), i),
      ]);
      const all = [...row(tensor(key(at, "init_noise")), i), ...later.flat()];
      expect(all.length).toBe(count);
      return Float32Array.from(all);
    };
    const flat = (z: NDArray) => z.reshape([z.shape[0]! * length, z.shape[2]!]);
    const tokens = await generateTokens<NDArray>(plan, {
      async condition(state, visible) {
        iteration++;
        return (await runAndRead(sessions.conditions, { ...sessions.trunk, tokens: state, visible, y })).z!;
      },
      async denoise(z, { rows, scale }) {
        const picked = (offset: number) =>
          stackedRows([...rows].map((at) => flat(z).rows(at + offset, at + offset + 1)));
        const half = images * length;
        const guidance = run.cfg === 1 ? {} : { unlabelledZ: picked(half), scale: float32([scale], []) };
        const conditions = { z: picked(0), ...guidance };
        const both = Object.values(conditions).flatMap((x) =>
          x.shape.length > 0 ? [...(x.data as Float32Array)] : [],
        );
        expect(both, key(iteration, "z")).toMatchGolden(tensor(key(iteration, "z")), { relative: 1e-4 });
        const noiseAt = rowNoise(plan, noise, rows);
        let x: NDArray = noiseAt(0);
        for (let index = steps - 1; index >= 0; index--) {
          const at = { index: int32(new Int32Array(rows.length).fill(index)), noise: noiseAt(steps - index) };
          x = (await runAndRead(sessions.step, { ...sessions.head, ...conditions, ...at, x })).sample!;
        }
        // The unlabelled half, which the original throws away, is not computed.
        const expected = tensor(key(iteration, "sampled")).rows(0, x.shape[0]!);
        expect(x, key(iteration, "sampled")).toMatchGolden(expected, { relative: 1e-4 });
        return x;
      },
    });
    expect(iteration).toBe(run.num_iter - 1);
    expect(unpatchify(tokens, config)).toMatchGolden(tensor(`sample/${name}/output`), { relative: 1e-4 });
    await Promise.all([sessions.conditions.release(), sessions.step.release()]);
  });
});
