/**
 * From PyTorch's file to files for a browser: read a `.pt`, export it as ONNX, draw digits with nothing but ONNX Runtime
 * and what `pipeline.json` says. `node --conditions=source --import tsx examples/04-from-torch-to-a-browser.ts` runs it.
 */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node"; // in a browser: onnxruntime-web
import { exportModel, float32, loadModel, writeAtomically } from "tinyfusion";
import { encodePng, encodeTorch, imageGrid } from "tinyfusion/formats";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const { tensors } = await loadModel("models/digits/teacher.safetensors");
await writeAtomically(join(folder, "digits.pt"), encodeTorch(tensors)); // names and shapes are the original's

// 1. The denoiser, with guidance inside; it is checked against our own session before the folder appears. The file does
// not say what model it is: a preset does. (`tinyfusion inspect` lists those that fit.)
const out = join(folder, "exported");
const model = { file: join(folder, "digits.pt"), model: "DiT-Digits" };
const { checked } = await exportModel({ ...model, guidance: true, steps: "ddim10", cfg: 2.5, out, threads: 1 });
console.log("exported; differs from our session by", checked);

// 2. DDIM without noise (Song et al. 2020, eq. 12), as a page in a browser would write it.
const { sampling: proposed, process } = JSON.parse(readFileSync(join(out, "pipeline.json"), "utf8"));
const session = await ort.InferenceSession.create(join(out, "denoiser.onnx"));
const shape = [10, 1, 28, 28];
const y = new ort.Tensor(Int32Array.from([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
const cfgScale = new ort.Tensor("float32", [proposed.cfgScale], []);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
let x = Float32Array.from({ length: 10 * 28 * 28 }, normal);
for (const [i, timestep] of [...proposed.timesteps.entries()].reverse()) {
  const alpha = process.alphasCumprod[timestep];
  const next = process.alphasCumprod[proposed.timesteps[i - 1]] ?? 1;
  const t = new ort.Tensor(new Float32Array(10).fill(timestep));
  const noise = (await session.run({ x: new ort.Tensor(x, shape), t, y, cfgScale })).noise!.data as Float32Array;
  const clean = x.map((value, k) => (value - Math.sqrt(1 - alpha) * noise[k]!) / Math.sqrt(alpha));
  x = clean.map((value, k) => Math.sqrt(next) * value + Math.sqrt(1 - next) * noise[k]!);
}
await session.release();
await writeAtomically(join(folder, "digits.png"), encodePng(imageGrid(float32(x, shape), 10, { scale: 4 })));
console.log(join(folder, "digits.png"));
