import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { lockFolder, lockHolder } from "../../src/storage/lock.ts";

/** `src/storage/lock.ts` compiled for other processes, which cannot load TypeScript. */
let compiled = "";
let folder = "";

beforeAll(() => {
  compiled = mkdtempSync(join(tmpdir(), "tinyfusion-compiled-"));
  writeFileSync(join(compiled, "package.json"), '{"type": "module"}');
  const config = {
    extends: resolve("tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      outDir: compiled,
      rootDir: resolve("src"),
      typeRoots: [resolve("node_modules/@types")],
    },
    files: [resolve("src/storage/lock.ts")],
    include: [],
  };
  writeFileSync(join(compiled, "tsconfig.json"), JSON.stringify(config));
  execFileSync(resolve("node_modules/.bin/tsc"), ["-p", compiled]);
}, 60_000);
afterAll(() => rmSync(compiled, { recursive: true }));
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs `body` in another process with `lockFolder`, `folder` and `fs`. */
function elsewhere(body: string): ChildProcess {
  const imports = `import { lockFolder } from ${JSON.stringify(join(compiled, "storage/lock.js"))}; import * as fs from "node:fs";`;
  const script = `${imports} const folder = ${JSON.stringify(folder)};\n${body}`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
}

const firstOutput = (child: ChildProcess) =>
  new Promise<string>((done) => child.stdout!.once("data", (data: Buffer) => done(data.toString())));
const ended = (child: ChildProcess) => new Promise<number | null>((done) => child.once("close", done));

const startOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ")[19]!;
const plantClaim = (host: string, pid: number, start: string) =>
  writeFileSync(join(folder, `lock-${host}-${pid}-${start}`), "");
const host = hostname().replaceAll(/[^A-Za-z0-9._]/g, "_");

describe("locking a folder", () => {
  test("works, excludes this process too, and can be given back twice", () => {
    const release = lockFolder(join(folder, "new"));
    expect(lockHolder(join(folder, "new"))?.pid).toBe(process.pid);
    expect(() => lockFolder(join(folder, "new"))).toThrow(`in use by process ${process.pid}`);
    release();
    release();
    expect(readdirSync(join(folder, "new"))).toEqual([]);
    lockFolder(join(folder, "new"))();
  });

  test("another living process is named, and kill -9 frees the folder", async () => {
    const child = elsewhere(`lockFolder(folder); console.log("held"); setInterval(() => {}, 1000);`);
    await firstOutput(child);
    expect(() => lockFolder(folder)).toThrow(InputError);
    expect(() => lockFolder(folder)).toThrow(`run folder ${folder} is in use by process ${child.pid}`);
    child.kill("SIGKILL");
    await ended(child);
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  test.runIf(process.platform === "linux")("a pid that now belongs to another process does not block", () => {
    plantClaim(host, process.ppid, "1");
    lockFolder(folder)();
    plantClaim(host, process.ppid, startOf(process.ppid));
    expect(() => lockFolder(folder)).toThrow(`in use by process ${process.ppid}`);
  });

  test.runIf(process.platform === "linux")("a zombie does not block", async () => {
    const parent = spawn("sh", ["-c", "sleep 1 & echo $!; exec sleep 30"], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const pid = Number(await firstOutput(parent));
      plantClaim(host, pid, startOf(pid));
      expect(() => lockFolder(folder)).toThrow(InputError);
      await expect.poll(() => readFileSync(`/proc/${pid}/stat`, "latin1"), { timeout: 5000 }).toContain(") Z ");
      lockFolder(folder)();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test("a claim from another host is respected, and the message says what to delete", () => {
    plantClaim("elsewhere", 1, "5");
    expect(() => lockFolder(folder)).toThrow(/by process 1 on host elsewhere; .* delete .*lock-elsewhere-1-5/);
  });

  test("racing takers never win together, even over stale claims", async () => {
    const body = `
      let wins = 0;
      for (const end = Date.now() + 1500; Date.now() < end; ) {
        let release;
        try { release = lockFolder(folder); } catch (error) { if (error.name === "InputError") continue; throw error; }
        wins += 1;
        fs.closeSync(fs.openSync(folder + "/critical", "wx")); // throws if another holder is inside
        fs.writeFileSync(folder + "/lock-${host}-999999999-" + process.pid, ""); // a dead process's claim
        for (const until = performance.now() + 3; performance.now() < until; ); // long enough to be met inside
        fs.rmSync(folder + "/critical");
        release();
      }
      console.log(wins);`;
    const children = Array.from({ length: 6 }, () => elsewhere(body));
    const wins = await Promise.all(children.map(async (child) => Number(await firstOutput(child))));
    expect(wins.reduce((a, b) => a + b, 0)).toBeGreaterThan(20);
  }, 30_000);
});
