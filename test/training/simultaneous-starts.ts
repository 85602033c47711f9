/** Pairs of commands started at one moment in one new run folder: one wins, and nothing of what it makes is lost. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect } from "vitest";
import type { BuiltCli } from "./built-cli.ts";

interface Side {
  readonly args: readonly string[];
  /** Words before the command: another pid namespace. */
  readonly before: readonly string[];
}

/** What a process in a pid namespace of its own is started with. */
export const ownNamespace = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];

interface Finished {
  readonly code: number | null;
  readonly stderr: string;
}

function finished(cli: BuiltCli, { args, before }: Side): Promise<Finished> {
  const [program, ...rest] = [...before, process.execPath, cli.at("dist/cli/main.js"), ...args];
  const child = spawn(program!, rest, { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  return new Promise((done) => child.once("close", (code) => done({ code, stderr })));
}

/** Hashes of all files of a finished run that do not hold times. */
function contentsOf(path: string): Record<string, string> {
  const names = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "metrics.jsonl")
    .map((entry) => join(entry.parentPath, entry.name));
  const hash = (name: string) => createHash("sha256").update(readFileSync(name)).digest("hex");
  return Object.fromEntries(names.sort().map((name) => [name.slice(path.length), hash(name)]));
}

/** How a pair is made: with which seeds, and in which namespaces. */
const kinds = [
  { name: "same settings", seeds: [0, 0], apart: [false, false] },
  { name: "different settings", seeds: [0, 1], apart: [false, false] },
  { name: "same settings, one in another pid namespace", seeds: [0, 0], apart: [true, false] },
  { name: "different settings, both in other pid namespaces", seeds: [1, 0], apart: [true, true] },
] as const;

const refusal = /^tinyfusion: (run folder .* is in use by process \d+|.* holds a run with other settings)/m;

/** Runs `count` pairs of each kind. Returns how often both sides succeeded, one after the other. */
export async function startPairs(
  cli: BuiltCli,
  count: number,
  hasNamespaces: boolean,
  onPair: (done: number) => void = () => undefined,
): Promise<Record<string, number>> {
  const out = cli.at("pairs/run");
  const args = (seed: number) => cli.train("pairs/run", "--steps", "2", "--save-every", "1", "--seed", String(seed));
  const expected: Record<string, string>[] = [];
  for (const seed of [0, 1]) {
    expect((await cli.run(args(seed))).code).toBe(0);
    expected.push(contentsOf(out));
    rmSync(cli.at("pairs"), { recursive: true });
  }
  const both: Record<string, number> = {};
  let done = 0;
  for (const { name, seeds, apart } of kinds.filter((kind) => hasNamespaces || !kind.apart.some(Boolean))) {
    both[name] = 0;
    for (let i = 0; i < count; i++) {
      const sides = seeds.map((seed, side) => ({ args: args(seed), before: apart[side] ? ownNamespace : [] }));
      // The parent folder is new, too, and the second is a little late, each time by another time.
      const ended = await Promise.all(
        sides.map((side, at) => pause(at * ((37 * i) % 120)).then(() => finished(cli, side))),
      );
      const won = ended.flatMap(({ code }, side) => (code === 0 ? [side] : []));
      const what = `${name}, pair ${i}: ${JSON.stringify(ended)}`;
      // Both only where the second found what the first had finished.
      expect(won.length, what).toBeGreaterThanOrEqual(1);
      expect(new Set(won.map((side) => seeds[side])).size, what).toBe(1);
      for (const { code, stderr } of ended)
        if (code !== 0) expect([code, stderr], what).toEqual([1, expect.stringMatching(refusal)]);
      expect(contentsOf(out), what).toEqual(expected[seeds[won[0]!]!]);
      const steps = readFileSync(join(out, "metrics.jsonl"), "utf8").trimEnd().split("\n");
      expect(
        steps.map((line) => JSON.parse(line).step),
        what,
      ).toEqual([1, 2]);
      expect(
        readdirSync(out).filter((file) => /^(lock-|\.tmp-)/.test(file)),
        what,
      ).toEqual([]);
      if (won.length === 2) both[name]!++;
      rmSync(cli.at("pairs"), { recursive: true });
      onPair(++done);
    }
  }
  expect(existsSync(cli.at("pairs"))).toBe(false);
  return both;
}
