/**
 * Predicted against measured peak memory of training commands: the plan of `--dry-run`, then a few steps in a process of
 * their own. Models have random weights. `--only NAME,…` picks configurations, `--work FOLDER` keeps model files between
 * runs, `--cli dist/cli/main.js` measures a build.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { flag, machine } from "./measure.ts";

interface Configuration {
  /** Preset of the model, or of the student. */
  readonly model: string;
  readonly half?: true;
  readonly teacher?: string;
  readonly command: readonly string[];
  /** Latents [channels, side, side]. */
  readonly side: number;
  readonly channels: number;
}

const small = { side: 32, channels: 4 };
const batch = (rows: number) => ["--batch-size", String(rows)];
const pairs = (depth: number, of: number) => [
  "--layer-map",
  Array.from({ length: depth }, (_, i) => `${i}:${((i + 1) * of) / depth - 1}`).join(),
];

/** Those called `fit` fixed the constants of `src/tasks/training-plan.ts`; the others did not. */
const configurations: Readonly<Record<string, Configuration>> = {
  "fit: DiT-S/2 train, 16": { ...small, model: "DiT-S/2", command: ["train", ...batch(16)] },
  "fit: DiT-B/2 prune, 8": { ...small, model: "DiT-B/2", command: ["prune", ...batch(8)] },
  "fit: DiT-B/2 prune full, 8 in 4s": {
    ...{ ...small, model: "DiT-B/2" },
    command: ["prune", "--delta", "full", "--execution", "dense", ...batch(8), "--micro-batch", "4"],
  },
  "fit: DiT-XL/2 prune, 4": { ...small, model: "DiT-XL/2", command: ["prune", ...batch(4)] },
  "fit: DiT-XL/2 prune, 4, recompute": { ...small, model: "DiT-XL/2", command: ["prune", ...batch(4), "--recompute"] },
  "fit: DiT-B/2 train, 4, recompute": { ...small, model: "DiT-B/2", command: ["train", ...batch(4), "--recompute"] },
  "DiT-L/2 prune, 2": { ...small, model: "DiT-L/2", command: ["prune", ...batch(2)] },
  "TinyDiT-D14 finetune from DiT-XL/2, 2": {
    ...{ ...small, model: "TinyDiT-D14", teacher: "DiT-XL/2" },
    command: ["finetune", ...batch(2), ...pairs(14, 28)],
  },
  "SiT-B/2 train, 8 in 4s": { ...small, model: "SiT-B/2", command: ["train", ...batch(8), "--micro-batch", "4"] },
  "DiT-XL/2-512 prune, 2, recompute, float16": {
    ...{ model: "DiT-XL/2-512", half: true, side: 64, channels: 4 },
    command: ["prune", ...batch(2), "--recompute"],
  },
  "DiT-S/2-512 train, 2": { model: "DiT-S/2-512", side: 64, channels: 4, command: ["train", ...batch(2)] },
  "SiT-B/2 prune dense, 4": {
    ...{ ...small, model: "SiT-B/2" },
    command: ["prune", "--model", "SiT-B/2", "--execution", "dense", ...batch(4)],
  },
  "fit: MAR-B prune, 4": { model: "MAR-B", side: 16, channels: 16, command: ["prune", ...batch(4)] },
  "TinyMAR-D16 train, 2": { model: "TinyMAR-D16", side: 16, channels: 16, command: ["train", ...batch(2)] },
};

const work = flag("work", "") || mkdtempSync(join(tmpdir(), "tinyfusion-memory-"));
const only = flag("only", "");
const names = Object.keys(configurations).filter(
  (name) => only === "" || only.split(",").some((x) => name.includes(x)),
);

console.log(machine());
for (const name of names) {
  const of = configurations[name]!;
  const command = await commandOf(of);
  const plan = await run([...command, "--dry-run"]);
  const predicted = gigabytes(/memory\s+about ([\d.]+ \w+)/.exec(plan.output)?.[1]);
  const out = join(work, "run");
  rmSync(out, { recursive: true, force: true });
  const { output } = await run([...command, "--out", out]);
  const measured = gigabytes(/peak memory ([\d.]+ \w+)/.exec(output)?.[1]);
  const off = predicted - measured;
  const allowed = Math.max(0.15 * measured, 0.3);
  const verdict = Math.abs(off) <= allowed ? "within" : "BEYOND";
  console.log(
    `${name.padEnd(44)} predicted ${predicted.toFixed(2)} GB, measured ${measured.toFixed(2)} GB, off by ${off.toFixed(2)} (${verdict} ${allowed.toFixed(2)})`,
  );
}

/** The command with its model files and data, which are made where they are missing. */
async function commandOf({ model, half, teacher, command, side, channels }: Configuration): Promise<string[]> {
  const data = join(work, `latents-${channels}x${side}`);
  if (!existsSync(data)) await run([data, side, channels].map(String), "bench/xl/random-latents.ts");
  const [name, ...options] = command as [string, ...string[]];
  const init = name === "train" ? ["--model", model] : [await modelFile(model, half)];
  const teacherOptions = teacher ? ["--teacher", await modelFile(teacher)] : [];
  return [name, ...init, ...teacherOptions, ...options, "--data", data, "--steps", flag("steps", "3")];
}

async function modelFile(preset: string, half?: true): Promise<string> {
  const path = join(work, `${preset.replace("/", "-")}${half ? "-half" : ""}.safetensors`);
  if (!existsSync(path)) await run([preset, path, ...(half ? ["half"] : [])], "bench/xl/random-model.ts");
  return path;
}

function run(argv: readonly string[], script = flag("cli", "src/cli/main.ts")): Promise<{ output: string }> {
  const child = spawn(process.execPath, ["--import", "tsx", script, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (output += text.toString()));
  return new Promise((done, fail) => {
    child.on("close", (code) => (code === 0 ? done({ output }) : fail(new Error(`${argv.join(" ")}: ${output}`))));
  });
}

function gigabytes(text: string | undefined): number {
  const [value, unit] = (text ?? "NaN GB").split(" ");
  return Number(value) * ({ MB: 1e-3, GB: 1 }[unit!] ?? Number.NaN);
}
