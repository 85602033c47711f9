/**
 * The paper's pipeline at full size, with random weights: what each step costs in time and memory.
 *
 *     node --import tsx bench/xl/run.ts --images PHOTOGRAPHS --work FOLDER [--model DiT-XL/2] [--size 256]
 *
 * Mask learning is stopped in the middle and resumed. Peak memory is VmHWM of the command's own process; of it,
 * weights that are mapped from files can be given back when others need the memory.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { flag, machine } from "../measure.ts";

const work = flag("work", "");
const images = flag("images", "");
if (work === "" || images === "") throw new Error("give --images FOLDER and --work FOLDER");
const model = flag("model", "DiT-XL/2");
const size = flag("size", "256");
const threads = flag("threads", "2");
const cli = flag("cli", "src/cli/main.ts");
const at = (name: string) => join(work, name);
const [teacher, vae, latents] = [
  at(`${model.replace("/", "-")}.safetensors`),
  at("vae.safetensors"),
  at(`latents-${size}`),
];
const [mask, recovery, samples] = ["mask", "recovery", "samples"].map((name) => at(`${name}-${size}`)) as [
  string,
  string,
  string,
];

console.log(machine());
console.log(`${model}, images of ${size} × ${size}, ${threads} threads; random weights`);
if (!existsSync(teacher)) await step("weights of the model", "bench/xl/random-model.ts", [model, teacher]);
if (!existsSync(vae)) await step("weights of the autoencoder", "bench/xl/random-autoencoder.ts", [vae]);
if (!existsSync(join(latents, "index.json"))) {
  await step("encode", cli, ["encode", "--images", images, "--vae", vae, "--size", size, "--out", latents]);
}
const more = flag("more", "").split(" ").filter(Boolean);
const data = ["--data", latents, "--threads", threads];
const prune = [
  "prune",
  teacher,
  "--groups",
  "1:2",
  "--steps",
  "20",
  "--batch-size",
  "4",
  "--log-every",
  "1",
  ...data,
  ...more,
];
await step("prune: plan", cli, [...prune, "--dry-run"]);
await step("prune: steps 1 to 10, then Ctrl-C", cli, [...prune, "--out", mask], /step 10\/20/);
await step("prune: resumed to step 20, decision, pruned file", cli, [...prune, "--out", mask]);
const student = join(mask, "pruned.safetensors");
const finetune = ["finetune", student, "--teacher", teacher, "--steps", "2", "--batch-size", "2", "--micro-batch", "1"];
const masked = [...finetune, "--log-every", "1", ...data, ...more];
await step("finetune: plan", cli, [...masked, "--dry-run"]);
await step("finetune: 2 masked-KD steps", cli, [...masked, "--out", recovery]);
const ema = join(recovery, "checkpoints", "step-00000002", "ema.safetensors");
const drawing = ["--count", "8", "--steps", "ddim20", "--cfg", "4", "--threads", threads, "--vae", vae];
await step("sample: 8 images, 20 DDIM steps, cfg 4, decoded", cli, ["sample", ema, ...drawing, "--out", samples]);

/** Runs a program and prints its time and peak memory; with `until`, it is interrupted once a line matches. */
async function step(name: string, script: string, argv: readonly string[], until?: RegExp): Promise<void> {
  const tsx = script.endsWith(".ts") ? ["--import", "tsx"] : [];
  const started = performance.now();
  const child = spawn(process.execPath, [...tsx, script, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  let [output, peak] = ["", 0];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text: Buffer) => {
      output += text.toString();
      if (until?.test(output)) child.kill("SIGINT");
    });
  }
  const timer = setInterval(() => {
    const status = existsSync(`/proc/${child.pid}/status`) ? readFileSync(`/proc/${child.pid}/status`, "utf8") : "";
    peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024);
  }, 100);
  const code = await new Promise<number | null>((done) => child.on("close", done));
  clearInterval(timer);
  const seconds = (performance.now() - started) / 1000;
  console.log(`\n## ${name}: ${seconds.toFixed(1)} s, peak memory ${(peak / 1e9).toFixed(2)} GB`);
  console.log(output.trimEnd().replaceAll(work, "WORK").split("\n").slice(-14).join("\n"));
  if (code !== (until ? 130 : 0)) throw new Error(`${name} ended with ${code}`);
}
