/** What a disk or a hand does to a run folder: a damaged checkpoint is gone back from, and nothing of it is used or lost. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { type LoopSettings, runLoop, type Task } from "../../src/training/loop.ts";
import { RunFolder } from "../../src/training/run-folder.ts";

const base = mkdtempSync(join(tmpdir(), "tinyfusion-damage-"));
const [whole, path] = [join(base, "whole"), join(base, "run")];
afterAll(() => rmSync(base, { recursive: true }));

/** Counts its steps in two files. */
function counting(): Task & { readonly total: Float32Array } {
  const total = new Float32Array(4);
  return {
    total,
    batchSize: 1,
    async step(k) {
      total.fill(total[0]! + k + 1);
      return { terms: { loss: total[0]! }, gradientNorm: 0, learningRate: 0 };
    },
    checkpoint: () => ({
      files: { a: new Map([["x", float32(total.slice())]]), b: new Map([["y", float32(total.map((x) => 2 * x))]]) },
      metadata: { a: { of: "a" } },
      state: { sum: total[0]! },
    }),
    restore: ({ files }) => total.set(files.a!.get("x")!.data as Float32Array),
  };
}

const settings: LoopSettings = { steps: 6, logEvery: 1, saveEvery: 2, keepCheckpoints: 3, onNan: "stop" };

async function runTo(steps: number, at = path) {
  const [task, folder, warnings, started] = [counting(), RunFolder.open(at), [] as string[], [] as number[]];
  try {
    await folder.acquire({ command: "count", steps: 9 });
    const hooks = { onWarning: (line: string) => warnings.push(line), onStart: (step: number) => started.push(step) };
    await runLoop(task, folder, { ...settings, steps }, hooks);
    return { total: task.total[0], warnings, started: started[0], metrics: folder.metrics().map(({ step }) => step) };
  } finally {
    folder.close();
  }
}

beforeAll(() => runTo(6, whole).then(() => undefined));
beforeEach(() => {
  rmSync(path, { recursive: true, force: true });
  cpSync(whole, path, { recursive: true });
});

const file = (step: number, name: string) => join(path, "checkpoints", `step-0000000${step}`, name);

/** Changes one bit of one byte, `at` counted from the end. */
function flip(name: string, at = 1): void {
  const bytes = readFileSync(name);
  bytes[bytes.length - at]! ^= 1;
  writeFileSync(name, bytes);
}

const damages: Readonly<Record<string, (step: number) => void>> = {
  "a tensor with a flipped bit": (step) => flip(file(step, "b.safetensors")),
  "metadata with a flipped bit": (step) => flip(file(step, "a.safetensors"), 60),
  "a file cut off": (step) => truncateSync(file(step, "b.safetensors"), 20),
  "a file of length 0": (step) => truncateSync(file(step, "a.safetensors")),
  "a file missing": (step) => rmSync(file(step, "b.safetensors")),
  "no state.json": (step) => rmSync(file(step, "state.json")),
  "a state.json that is no JSON": (step) => truncateSync(file(step, "state.json"), 30),
  "a state.json that is null": (step) => writeFileSync(file(step, "state.json"), "null\n"),
  "a state.json with another number": (step) => {
    const text = readFileSync(file(step, "state.json"), "utf8");
    writeFileSync(file(step, "state.json"), text.replace(/"sum":\d/, '"sum":9'));
  },
  "the files of another checkpoint": (step) => {
    rmSync(join(path, "checkpoints", `step-0000000${step}`), { recursive: true });
    cpSync(join(whole, "checkpoints", "step-00000002"), join(path, "checkpoints", `step-0000000${step}`), {
      recursive: true,
    });
  },
};

describe.each(Object.keys(damages))("%s", (name) => {
  it("in the newest checkpoint: the run goes back to the one before, says so, and ends as if nothing had been", async () => {
    damages[name]!(6);
    const after = await runTo(9);
    expect(after.warnings).toEqual([
      expect.stringMatching(
        /step-00000006.*; going back to step 4, the damaged checkpoint is now .*damaged-step-00000006$/,
      ),
    ]);
    expect([after.started, after.total]).toEqual([4, 45]);
    expect(after.metrics).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(existsSync(join(path, "checkpoints", "damaged-step-00000006"))).toBe(true);
  });

  it("in all checkpoints: the run is refused, each is named, and nothing is changed", async () => {
    for (const step of [2, 4, 6]) damages[name]!(step);
    if (name === "the files of another checkpoint") damages["a file missing"]!(2);
    const before = readdirSync(path, { recursive: true }).sort();
    const refused = await runTo(9).catch((error: Error) => error.message);
    for (const step of [2, 4, 6]) expect(refused).toContain(`step-0000000${step}`);
    expect(refused).toMatch(
      /no checkpoint that is whole \(.*\)\. Restore one of them, choose another `out`, or delete/,
    );
    expect(readdirSync(path, { recursive: true }).sort()).toEqual(before);
    expect(readFileSync(join(path, "metrics.jsonl"), "utf8").trimEnd().split("\n").length).toBe(6);
  });
});

it("two damaged checkpoints are both set aside, and again under another name", async () => {
  damages["a file missing"]!(6);
  damages["a file cut off"]!(4);
  const after = await runTo(9);
  expect([after.started, after.total, after.warnings.length]).toEqual([2, 45, 2]);
  for (let time = 0; time < 2; time++) {
    for (const step of [8, 9]) damages["a file missing"]!(step);
    expect(await runTo(9)).toMatchObject({ started: 6, total: 45 });
  }
  const aside = readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("damaged"));
  const numbers = ["4", "6", "8", "8-2", "9", "9-2"];
  expect(aside).toEqual(numbers.map((number) => `damaged-step-0000000${number}`));
});

describe("a checkpoint from before there were checksums", () => {
  const withoutChecksums = (step: number) => {
    const { checksum: _, checksums: __, ...state } = JSON.parse(readFileSync(file(step, "state.json"), "utf8"));
    writeFileSync(file(step, "state.json"), `${JSON.stringify(state)}\n`);
  };

  it("is gone on from", async () => {
    withoutChecksums(6);
    expect(await runTo(9)).toMatchObject({ started: 6, total: 45, warnings: [] });
  });

  it("is gone back from where a file is missing or cut off", async () => {
    withoutChecksums(6);
    damages["a file missing"]!(6);
    expect(await runTo(9)).toMatchObject({ started: 4, total: 45 });
  });
});

describe("settings", () => {
  it("that are gone: the run is not taken for a new one", async () => {
    rmSync(join(path, "config.json"));
    await expect(runTo(9)).rejects.toThrow(
      /holds a run \(.*step-00000002\) without its config.json.*restore that file, choose/,
    );
    for (const name of readdirSync(join(path, "checkpoints")))
      rmSync(join(path, "checkpoints", name), { recursive: true });
    await expect(runTo(9)).rejects.toThrow(/holds a run \(.*metrics.jsonl\) without its config.json/);
    rmSync(join(path, "metrics.jsonl"));
    expect(await runTo(9)).toMatchObject({ started: 0, total: 45 });
  });

  it.each([
    ["cut off", '{"command": "cou', /config.json: expected JSON.*the settings of the run are lost: restore it/],
    ["empty", "", /config.json: expected JSON.*restore it, choose another `out`/],
    ["null", "null", /config.json: expected the settings of the run, found null; restore it/],
    ["a list", "[1]", /expected the settings of the run, found \[1\]/],
  ])("that are %s are refused with what to do", async (_, text, message) => {
    writeFileSync(join(path, "config.json"), text);
    await expect(runTo(9)).rejects.toThrow(message);
  });
});

describe("a run without checkpoints", () => {
  beforeEach(() => rmSync(join(path, "checkpoints"), { recursive: true }));

  it("starts over, says so, and ends as it did", async () => {
    const { warnings, ...ended } = await runTo(6);
    expect(warnings).toEqual([
      `${path} holds the log of a run up to step 6, but no checkpoint of it: starting over at step 0`,
    ]);
    expect(ended).toEqual({ total: 21, started: 0, metrics: [1, 2, 3, 4, 5, 6] });
  });

  it("starts over from a result alone, too, and says so", async () => {
    rmSync(join(path, "metrics.jsonl"));
    writeFileSync(join(path, "decision.json"), "{}");
    expect((await runTo(6)).warnings).toEqual([
      `${path} holds decision.json, but no checkpoint of it: starting over at step 0`,
    ]);
  });

  it("is not lengthened, and keeps its log and its settings", async () => {
    const before = ["config.json", "metrics.jsonl"].map((name) => readFileSync(join(path, name), "utf8"));
    const folder = RunFolder.open(path);
    for (const extend of ["keep", "rewind"] as const) {
      await expect(folder.acquire({ command: "count", steps: 12 }, { extend })).rejects.toThrow(
        `${path} holds the log of a run up to step 6, but no checkpoint of it, so there is nothing to extend`,
      );
    }
    folder.close();
    expect(["config.json", "metrics.jsonl"].map((name) => readFileSync(join(path, name), "utf8"))).toEqual(before);
  });

  it("that was stopped before its first line starts without a word, lengthened or not", async () => {
    rmSync(join(path, "metrics.jsonl"));
    expect((await runTo(6)).warnings).toEqual([]);
    rmSync(path, { recursive: true });
    const folder = RunFolder.open(path);
    await folder.acquire({ command: "count", steps: 9 });
    await expect(folder.acquire({ command: "count", steps: 12 }, { extend: "keep" })).resolves.toBeDefined();
    folder.close();
  });
});

it("a number of checkpoints to keep that is none is refused, not taken for all", async () => {
  const folder = RunFolder.open(join(base, "keep"));
  const checkpoint = { files: {}, metadata: {}, state: {} };
  for (const keep of [0, -1, Number.NaN]) await expect(folder.save(1, checkpoint, keep)).rejects.toThrow(RangeError);
  await folder.save(1, checkpoint, 1);
  folder.close();
});
