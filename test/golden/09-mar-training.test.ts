/** MAR's encoder, decoder, token loss and gradients against the original. */
import { describe, expect, it } from "vitest";
import { int32, type NDArray } from "../../src/array/ndarray.ts";
import { tokenRows, visiblePlaces } from "../../src/diffusion/masking/masks.ts";
import { meanOverTokens, tokenLoss } from "../../src/diffusion/masking/token-loss.ts";
import { input, mul, sum } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { gradient } from "../../src/graph/gradient.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { decode, encode } from "../../src/models/mar/mar.ts";
import { patchify } from "../../src/models/mar/patches.ts";
import {
  config,
  denoiser,
  expected,
  names,
  p,
  settings,
  storedOrders,
  tensor,
  trainSchedule,
  weights,
} from "./09-mar-fixture.ts";
import { runOnce } from "./dit-fixture.ts";
import { atLeastOne } from "./fixture.ts";
import { groupFloor } from "./matchers.ts";

const imgs = tensor("train/imgs");
const labels = tensor("train/labels");
const orders = storedOrders("train/orders");
const [rows, length] = [orders.length, settings.seq_len];

/** The graph's outputs by fixture name, with the gradients stored under `prefix`. */
function trace(prefix: string): Record<string, Tensor> {
  const m = symbolicDim("tokens");
  const target = patchify(input("imgs", imgs.shape), config);
  const io = {
    tokens: target,
    visible: input("visible", [rows, symbolicDim("visible")], "int32"),
    y: input("y", [rows], "int32"),
  };
  const encoded = encode(p, config, io);
  const z = decode(p, config, encoded, io);
  const batch = {
    target,
    token: input("token", [m], "int32"),
    sample: input("sample", [m], "int32"),
    index: input("index", [m], "int32"),
    noise: input("noise", [m, settings.token_embed_dim]),
  };
  const loss = tokenLoss(denoiser, trainSchedule, z, batch);
  const total = mul(sum(meanOverTokens(loss.loss, batch)), 1 / rows);
  const keys = atLeastOne(
    names.filter((name) => name.startsWith(prefix)),
    `gradients ${prefix}`,
  );
  const gradients = gradient(
    total,
    keys.map((key) => p.tensor(key.slice(prefix.length))),
  );
  return {
    "train/patches": target,
    "train/encoder_out": encoded,
    "train/z": z,
    "train/token_loss": loss.loss,
    "train/token_mse": loss.mse,
    "train/token_vb": loss.vb!,
    total,
    ...Object.fromEntries(keys.map((key, i) => [key, gradients[i]!])),
  };
}

/** Feeds for these rows of the stored draws, which are the tokens of the whole batch, copy after copy. */
function feedsOf(drawn: readonly number[], y: NDArray): Record<string, NDArray> {
  const size = settings.token_embed_dim;
  const [t, noise] = [tensor("train/t").data as Int32Array, tensor("train/noise")];
  const token = drawn.map((m) => m % (rows * length));
  const picked = Float32Array.from(drawn.flatMap((m) => [...(noise.rows(m, m + 1).data as Float32Array)]));
  return {
    ...weights,
    imgs,
    y,
    visible: visiblePlaces(orders, expected.num_masked, config.bufferSize),
    token: int32(token),
    sample: int32(token.map((row) => Math.floor(row / length))),
    index: int32(drawn.map((m) => t[m]!)),
    noise: Object.assign(noise.rows(0, drawn.length), { data: picked, shape: [drawn.length, size] }),
  };
}

const everyDraw = Array.from({ length: settings.diffusion_batch_mul * rows * length }, (_, m) => m);
const masked = new Set(tokenRows(orders, 0, expected.num_masked));
const maskedDraws = everyDraw.filter((m) => masked.has(m % (rows * length)));

describe("MAR training", () => {
  it("the first tokens of each order are masked", () => {
    const mask = tensor("train/mask").data as Float32Array;
    expect(Array.from(mask, (_, row) => Number(masked.has(row)))).toEqual([...mask]);
  });

  it("patches, encoder, decoder and the loss of every token agree with the original", async () => {
    const { total: _, ...outputs } = trace("train/grad/");
    const wanted = Object.fromEntries(Object.entries(outputs).filter(([name]) => !name.includes("grad")));
    const results = await runOnce({ outputs: wanted }, feedsOf(everyDraw, labels));
    expect(results["train/patches"]).toMatchGolden(tensor("train/patches"), { relative: 0 });
    for (const name of ["train/encoder_out", "train/z"]) {
      expect(results[name], name).toMatchGolden(tensor(name), { relative: 1e-5 });
    }
    for (const name of ["train/token_loss", "train/token_mse", "train/token_vb"]) {
      expect(results[name], name).toMatchGolden(tensor(name), { relative: 1e-4 });
    }
  });

  const dropped = tensor("train/label_drop").data as Int32Array;
  const droppedLabels = int32(Array.from(labels.data as Int32Array, (y, n) => (dropped[n] ? config.numClasses : y)));
  it.each([
    ["with all labels", "train/grad/", labels, expected.loss],
    ["with dropped labels", "train/grad_drop/", droppedLabels, expected.loss_drop],
  ] as const)("the loss of the masked tokens and its gradients agree, %s", async (_, prefix, y, loss) => {
    const outputs = trace(prefix);
    const keys = Object.keys(outputs).filter((name) => name.startsWith(prefix));
    const wanted = Object.fromEntries(["total", ...keys].map((name) => [name, outputs[name]!]));
    const results = await runOnce({ outputs: wanted }, feedsOf(maskedDraws, y));
    expect(Math.abs((results.total!.data as Float32Array)[0]! / loss - 1)).toBeLessThan(1e-4);
    const floor = groupFloor(keys.map(tensor));
    for (const key of keys) expect(results[key], key).toMatchGolden(tensor(key), { relative: 1e-3, floor });
  });
});
