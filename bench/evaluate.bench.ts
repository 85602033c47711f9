/**
 * A whole evaluation of digits: 2,000 images of a 14-layer model (25 DDIM steps, guidance), their features, and every metric
 * with its error. Target on two cores: 3 minutes. The layers are every second one of the teacher: time does not ask whether a
 * model is good. `--count` draws another number.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { flag, machine } from "./measure.ts";

const cli = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
const teacher = fileURLToPath(new URL("../models/digits/teacher.safetensors", import.meta.url));
const kept = Array.from({ length: 14 }, (_, i) => 2 * i).join(",");
const out = mkdtempSync(join(tmpdir(), "evaluate-bench-"));
const count = flag("count", "2000");

console.log(machine());
const started = performance.now();
const drawing = [
  "--blocks",
  kept,
  "--count",
  count,
  "--steps",
  "ddim25",
  "--cfg",
  "2",
  "--threads",
  flag("threads", "2"),
];
const { status, stderr, stdout } = spawnSync(
  process.execPath,
  ["--import", "tsx", cli, "evaluate", teacher, ...drawing, "--out", join(out, "evaluation")],
  { encoding: "utf8" },
);
const seconds = (performance.now() - started) / 1000;
rmSync(out, { recursive: true });
if (status !== 0) throw new Error(stderr);
console.log(
  stdout
    .split("\n")
    .filter((line) => !line.startsWith("note:") && !line.includes(out))
    .join("\n")
    .trimEnd(),
);
console.log(`${count} digits drawn and judged: ${seconds.toFixed(1)} s (target for 2,000: ≤ 180 s)`);
