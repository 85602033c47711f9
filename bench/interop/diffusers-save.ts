/** Makes small random DiTs, converts them to `.pt` and to folders of diffusers, and computes what `diffusers-load.py` compares: `node --import tsx bench/interop/diffusers-save.ts DIR`. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { float32, int32, type NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { runProgram } from "../../src/cli/program.ts";
import { defaultProcess } from "../../src/diffusion/process.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { constant, input } from "../../src/graph/build.ts";
import { rewrite } from "../../src/graph/rewrite.ts";
import { isOp } from "../../src/graph/tensor.ts";
import { autoencoderSpecs, decoder } from "../../src/models/autoencoder/autoencoder.ts";
import { autoencoderConfigSchema, latentStride } from "../../src/models/autoencoder/config.ts";
import { type Model, modelOf, predictor } from "../../src/models/registry.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { Params } from "../../src/nn/params.ts";
import { writeAtomically } from "../../src/storage/atomic-write.ts";
import { autoencoderToDiffusers } from "../../src/weights/autoencoder-file.ts";
import { loadModel, saveModel, weightSpecs } from "../../src/weights/model-file.ts";

const [folder = "."] = process.argv.slice(2);
const at = (...parts: string[]) => join(folder, ...parts);
mkdirSync(folder, { recursive: true });
const engine = cpuEngine({ threads: 1 });

/** Random numbers of a name. */
const random = (name: string, shape: readonly number[], scale = 1): NDArray<"float32"> => {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return float32(
    normals({ seed: 10, purpose: name, step: 0, index: 0 }, size).map((z) => z * scale),
    shape,
  );
};

/** No weight is zero and no branch is dead; positions stay what they are. */
function awake(specs: ReturnType<typeof weightSpecs>): Map<string, NDArray<"float32">> {
  return new Map(
    Array.from(initialWeights(specs, 0), ([name, value]) => {
      if (name === "pos_embed") return [name, value];
      const noise = random(name, value.shape, 0.05).data;
      return [
        name,
        float32(
          value.data.map((x, i) => x + noise[i]!),
          value.shape,
        ),
      ];
    }),
  );
}

async function command(...argv: string[]): Promise<void> {
  const { stdout, stderr } = process;
  const code = await runProgram(argv, { stdout, stderr, env: process.env, signal: new AbortController().signal });
  if (code !== 0) throw new Error(`tinyfusion ${argv.join(" ")} ended with ${code}`);
}

/** The frequencies of diffusers' `Timesteps(256, downscale_freq_shift=1)`, where ours divide by 128: [1, 128]. */
const theirFrequencies = float32(
  Float32Array.from({ length: 128 }, (_, i) =>
    Math.exp(Math.fround(Math.fround(Math.fround(-Math.log(10000)) * i) / 127)),
  ),
  [1, 128],
);

/** Outputs of a model file for fixed inputs, as it is and with diffusers' frequencies of time. */
async function outputsOf(name: string): Promise<Map<string, NDArray>> {
  const { model, tensors } = await loadModel(at(`${name}.safetensors`));
  const { inChannels, inputSize, numClasses } = model.config;
  const times = [0, 1, 37, 250, 500, 999];
  const feeds = {
    x: random("x", [times.length, inChannels, inputSize, inputSize]),
    t: float32(times),
    y: int32(times.map((_, i) => (i === 2 ? numClasses : (i * 389) % numClasses))),
  };
  const inputs = { x: input("x", feeds.x.shape), t: input("t", feeds.t.shape), y: input("y", feeds.y.shape, "int32") };
  const output = predictor(model, new Params())(inputs);
  let replaced = 0;
  const [theirs] = rewrite([output], (node) => {
    if (!isOp(node, "constant") || String(node.outputs[0]!.shape) !== "1,128") return undefined;
    replaced++;
    return [constant(theirFrequencies)];
  });
  if (replaced !== 1) throw new Error(`expected one table of frequencies in the graph, found ${replaced}`);
  const session = await engine.compile({ outputs: { output, theirs: theirs! } });
  const results = await runAndRead(session, { ...Object.fromEntries(tensors), ...feeds });
  await session.release();
  return new Map<string, NDArray>([
    ...Object.entries(feeds),
    ["output", results.output!],
    ["output_with_their_frequencies", results.theirs!],
  ]);
}

/** A small autoencoder as diffusers' `vae` folder, latents and what we decode them to. */
async function saveAutoencoder(): Promise<void> {
  const config = autoencoderConfigSchema.parse({
    ...{ inChannels: 3, outChannels: 3, latentChannels: 4, blockOutChannels: [16, 16, 32, 32], layersPerBlock: 1 },
    ...{ normNumGroups: 8, scalingFactor: 0.18215, sampleSize: 64 },
  });
  const weights = awake(autoencoderSpecs(config));
  await writeAtomically(at("vae/config.json"), JSON.stringify(autoencoderToDiffusers(config)));
  await writeAtomically(at("vae/diffusion_pytorch_model.safetensors"), encodeSafetensors(weights, { format: "pt" }));
  const z = random("z", [2, 4, 8, 8]);
  const session = await engine.compile({ outputs: { images: decoder(new Params(), config, input("z", z.shape)) } });
  const used = Array.from(weights).filter(([name]) => !/^(encoder|quant_conv)\./.test(name));
  const { images } = await runAndRead(session, { ...Object.fromEntries(used), z });
  await session.release();
  if (images!.shape[2] !== 8 * latentStride(config)) throw new Error("the images have another size");
  await writeAtomically(
    at("vae-outputs.safetensors"),
    encodeSafetensors(
      new Map([
        ["z", z],
        ["images", images!],
      ]),
    ),
  );
}

async function save(name: string, model: Model): Promise<void> {
  const facts = { weights: "ema", images: 0, prunings: [], process: defaultProcess } as const;
  await saveModel(at(`${name}.safetensors`), model, awake(weightSpecs(model)), facts);
}

const sizes = { family: "dit", inputSize: 8, patchSize: 2, inChannels: 4, numClasses: 1000 };
await saveAutoencoder();
await save("whole", modelOf({ ...sizes, hiddenSize: 96, depth: 4, numHeads: 6 }));
await save("root", modelOf({ ...sizes, hiddenSize: 64, depth: 28, numHeads: 4 }));
const kept = Array.from({ length: 14 }, (_, i) => 2 * i + (i % 2)).join(",");
await command("prune", at("root.safetensors"), "--blocks", kept, "--out", at("prune"));
await command("convert", at("prune/pruned.safetensors"), "--out", at("pruned.safetensors"));
for (const name of ["whole", "pruned"]) {
  await command("convert", at(`${name}.safetensors`), "--to", "pt", "--out", at(`${name}.pt`));
  const vae = name === "whole" ? ["--vae", at("vae")] : [];
  await command("convert", at(`${name}.safetensors`), "--to", "diffusers", ...vae, "--out", at(name));
  await writeAtomically(at(`${name}-outputs.safetensors`), encodeSafetensors(await outputsOf(name)));
}
