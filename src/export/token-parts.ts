/** The two functions that a MAR's sampling loop calls, as graphs. N batch, L tokens of C numbers, V visible places, D width of conditions, P tokens drawn at once. */
import { float32, int32, sizeOf } from "../array/ndarray.ts";
import { normals } from "../array/random.ts";
import { tokenOrders, visiblePlaces } from "../diffusion/masking/masks.ts";
import { guidedPrediction } from "../diffusion/predictor.ts";
import type { TokenProcess } from "../diffusion/process.ts";
import { input, split } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tokenCount } from "../models/family.ts";
import { type MarConfig, tokenSize } from "../models/mar/config.ts";
import { mar } from "../models/mar/mar.ts";
import { tokenDenoiser } from "../models/mar/token-denoiser.ts";
import { Params } from "../nn/params.ts";
import { balancedLabels } from "../sampling/sample-images.ts";
import { type PartSettings, varianceMeaning } from "./denoiser-part.ts";
import { labelMeaning, noLabels, scaleInput } from "./guidance.ts";
import { feeds, type Part, rowsOf } from "./part.ts";

type Settings = Pick<PartSettings, "batch" | "guidance">;

const random = (purpose: string, shape: readonly number[]) =>
  float32(normals({ seed: 0, purpose: `export check ${purpose}`, step: 0, index: 0 }, sizeOf(shape)), shape);

/** tokens, visible, y → the condition z of every token; with guidance also the condition without a class. */
export function conditionPart(config: MarConfig, { batch, guidance }: Settings): Part {
  const [length, size, { numClasses, bufferSize }] = [tokenCount(config), tokenSize(config), config];
  const n = batch ?? symbolicDim("batch");
  const inputs = {
    tokens: input("tokens", [n, length, size]),
    visible: input("visible", [n, symbolicDim("visible")], "int32"),
    y: input("y", [n], "int32"),
  };
  const p = new Params();
  const z = mar(p, config, inputs);
  const unlabelled = guidance && { unlabelledZ: mar(p, config, { ...inputs, y: noLabels(numClasses, n) }) };
  return {
    name: "condition",
    graph: { outputs: { z, ...unlabelled } },
    about: {
      tokens: "all tokens in row-major order; what stands at masked places is not read",
      visible: `places that are not masked, ascending: 0 to ${bufferSize - 1} always, and ${bufferSize} + l for token l`,
      y: labelMeaning(config),
      z: "the condition of each token",
      unlabelledZ: "the same without a class",
    },
    example(rows) {
      const count = rowsOf(batch, rows);
      const keys = Array.from({ length: count }, (_, index) => ({ seed: 0, purpose: "export check", step: 0, index }));
      return {
        tokens: random("tokens", [count, length, size]),
        visible: visiblePlaces(tokenOrders(keys, length), Math.ceil(length / 2), bufferSize),
        y: int32(balancedLabels(count, numClasses)),
      };
    },
  };
}

/** x, t, z → noise and variance of single tokens. */
export function tokenDenoiserPart(config: MarConfig, { steps }: TokenProcess, { guidance }: Settings): Part {
  const [size, width] = [tokenSize(config), config.decoderSize];
  const rows = symbolicDim("tokens");
  const p = new Params();
  const [x, t] = [input("x", [rows, size]), input("t", [rows])];
  const predict = (z: Tensor): Tensor => tokenDenoiser(p, config, { x, t, z });
  const labelled = predict(input("z", [rows, width]));
  const prediction = guidance
    ? guidedPrediction(labelled, predict(input("unlabelledZ", [rows, width])), scaleInput(), size)
    : labelled;
  const [noise, variance] = split(prediction, 2, 1) as readonly [Tensor, Tensor];
  return {
    name: "token-denoiser",
    graph: { outputs: { noise, variance } },
    about: {
      x: "noised tokens",
      t: "the timestep of the whole schedule; fractions are allowed",
      z: "the condition of each of these tokens",
      unlabelledZ: "the same without a class",
      cfgScale: "classifier-free guidance: 0 is without class, 1 is none",
      noise: "the noise in x",
      variance: varianceMeaning,
    },
    example(count) {
      return feeds({
        x: random("x", [count, size]),
        t: float32(Float32Array.from({ length: count }, (_, i) => ((steps - 1) * (i + 0.5)) / count)),
        z: random("z", [count, width]),
        unlabelledZ: guidance ? random("unlabelled z", [count, width]) : undefined,
        cfgScale: guidance ? float32([2.5], []) : undefined,
      });
    },
  };
}
