/** The real command, built from these sources into a temporary folder, with a tiny model and few images to work on. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { integers } from "../../src/array/random.ts";

export interface Ended {
  /** Undefined for a process that was killed. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A started command: its output so far, and its end. */
export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves once stderr has `count` lines that match, or when the process ends. */
  lines(pattern: RegExp, count: number): Promise<void>;
}

export class BuiltCli {
  /** Temporary; removed by `remove`. */
  readonly folder: string;

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "tinyfusion-cli-"));
    for (const name of ["package.json", "models", "node_modules"]) symlinkSync(resolve(name), join(this.folder, name));
    // Type errors are for `npm run check` to report: what counts here is that there is a program.
    const options = ["-p", "tsconfig.build.json", "--outDir", join(this.folder, "dist"), "--declaration", "false"];
    const built = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", ...options], { encoding: "utf8" });
    if (!readdirSync(this.folder).includes("dist")) throw new Error(`no build: ${built.stdout}${built.stderr}`);
    const model = { inputSize: 28, patchSize: 7, inChannels: 1, hiddenSize: 16, depth: 4, numHeads: 2, numClasses: 10 };
    writeFileSync(this.at("tiny.json"), JSON.stringify(model));
    const [count, side] = [40, 28];
    const pixels = integers({ seed: 1, purpose: "pixels", step: 0, index: 0 }, count * side * side, 256);
    writeFileSync(this.at("images.idx"), idx([count, side, side], pixels));
    writeFileSync(
      this.at("labels.idx"),
      idx(
        [count],
        Array.from({ length: count }, (_, i) => i % 10),
      ),
    );
  }

  at(...path: string[]): string {
    return join(this.folder, ...path);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  /** Options that every run here has: the small images, one thread, a log line for each step. */
  get common(): string[] {
    const data = ["--data", this.at("images.idx"), "--labels", this.at("labels.idx")];
    return [...data, "--threads", "1", "--log-every", "1", "--batch-size", "6", "--micro-batch", "4"];
  }

  /** `train` on the tiny model. */
  train(out: string, ...options: string[]): string[] {
    return ["train", "--out", this.at(out), "--model-config", this.at("tiny.json"), ...this.common, ...options];
  }

  start(args: readonly string[]): Started {
    const child = spawn(process.execPath, [this.at("dist/cli/main.js"), ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout!.on("data", (text) => {
      stdout += text;
    });
    child.stderr!.on("data", (text) => {
      stderr += text;
    });
    const ended = new Promise<Ended>((done) => {
      child.once("close", (code) => done({ code: code ?? undefined, stdout, stderr }));
    });
    const lines = (pattern: RegExp, count: number) =>
      new Promise<void>((done) => {
        const look = () => {
          if (stderr.split("\n").filter((line) => pattern.test(line)).length >= count) done();
        };
        child.stderr!.on("data", look);
        child.once("close", () => done());
        look();
      });
    return { child, ended, lines };
  }

  run(args: readonly string[]): Promise<Ended> {
    return this.start(args).ended;
  }

  /** Lines of a run's `metrics.jsonl`, without the clock. */
  metrics(out: string): Record<string, number>[] {
    const lines = readFileSync(this.at(out, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    return lines.map((line) => {
      const { seconds: _, ...rest } = JSON.parse(line) as Record<string, number>;
      return rest;
    });
  }

  /** Hashes of what a run results in: the files of its last checkpoint, and those written when it was done. */
  results(out: string): Record<string, string> {
    const last = join("checkpoints", this.checkpoints(out).at(-1)!);
    const files = [last, "."].flatMap((part) =>
      readdirSync(this.at(out, part), { withFileTypes: true })
        .filter((entry) => entry.isFile() && !["config.json", "metrics.jsonl"].includes(entry.name))
        .map(({ name }) => join(part, name)),
    );
    const hash = (file: string) =>
      createHash("sha256")
        .update(readFileSync(this.at(out, file)))
        .digest("hex");
    return Object.fromEntries(files.map((file) => [file, hash(file)]));
  }

  checkpoints(out: string): string[] {
    return readdirSync(this.at(out, "checkpoints")).sort();
  }
}

/** An IDX file of unsigned bytes. */
function idx(shape: readonly number[], values: ArrayLike<number>): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  for (const [axis, size] of shape.entries()) header.writeUInt32BE(size, 4 + 4 * axis);
  return Buffer.concat([header, Uint8Array.from(values)]);
}
