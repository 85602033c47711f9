import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir, uptime } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { lockFolder, lockHolder, startOf, thisProcess } from "../../src/storage/lock.ts";

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

/** Runs `body` in another process, started by these words before its name, with `lockFolder`, `folder` and `fs`. */
function elsewhere(body: string, ...before: string[]): ChildProcess {
  const imports = `import { lockFolder } from ${JSON.stringify(join(compiled, "storage/lock.js"))}; import * as fs from "node:fs";`;
  const script = `${imports} const folder = ${JSON.stringify(folder)};\n${body}`;
  const [program, ...args] = [...before, process.execPath, "--input-type=module", "-e", script];
  return spawn(program!, args, { stdio: ["ignore", "pipe", "inherit"] });
}

const firstOutput = (child: ChildProcess) =>
  new Promise<string>((done) => child.stdout!.once("data", (data: Buffer) => done(data.toString())));
const ended = (child: ChildProcess) => new Promise<number | null>((done) => child.once("close", done));

const { host, namespace, boot } = thisProcess();
/** A lock file of a place that has no pipes. */
function plantLock(of: { host?: string; pid?: number; start?: string; namespace?: string; boot?: string }): string {
  const holder = { ...thisProcess(), ...of };
  const name = `lock-${holder.host}-${holder.pid}-${holder.start}-${holder.namespace}-${holder.boot}-0123abcd`;
  writeFileSync(join(folder, name), "");
  return name;
}

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

  test("giving back twice does not give back what this process has taken since", () => {
    const release = lockFolder(folder);
    release();
    const again = lockFolder(folder);
    release();
    expect(() => lockFolder(folder)).toThrow("in use");
    again();
    expect(readdirSync(folder)).toEqual([]);
  });

  test.runIf(process.platform === "linux")("a pid that now belongs to another process does not block", () => {
    plantLock({ pid: process.ppid, start: "1" });
    lockFolder(folder)();
    plantLock({ pid: process.ppid, start: startOf(process.ppid)! });
    expect(() => lockFolder(folder)).toThrow(`in use by process ${process.ppid}`);
  });

  test.runIf(process.platform === "linux")("a zombie does not block", async () => {
    const parent = spawn("sh", ["-c", "sleep 1 & echo $!; exec sleep 30"], { stdio: ["ignore", "pipe", "inherit"] });
    try {
      const pid = Number(await firstOutput(parent));
      plantLock({ pid, start: startOf(pid)! });
      expect(() => lockFolder(folder)).toThrow(InputError);
      await expect.poll(() => readFileSync(`/proc/${pid}/stat`, "latin1"), { timeout: 5000 }).toContain(") Z ");
      lockFolder(folder)();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test("a lock file from another host is respected, and the message says what to delete", () => {
    const name = plantLock({ host: "elsewhere", pid: 1, boot: "5" });
    utimesSync(join(folder, name), 1, 1);
    expect(() => lockFolder(folder)).toThrow(
      `by process 1 on host elsewhere; if it no longer runs there, delete ${join(folder, name)}`,
    );
  });

  test("a lock file from before this machine was started anew does not block, one of a namesake that is younger does", () => {
    const name = plantLock({ boot: "5" });
    expect(() => lockFolder(folder)).toThrow(`delete ${join(folder, name)}`);
    const started = Date.now() / 1000 - uptime();
    utimesSync(join(folder, name), started - 1, started - 1);
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("without pipes, a lock file from another pid namespace blocks whatever runs under its number here", () => {
    const name = plantLock({ pid: 999_999_999, namespace: `${namespace}1` });
    expect(() => lockFolder(folder)).toThrow(`delete ${join(folder, name)}`);
    rmSync(join(folder, name));
    plantLock({ pid: 999_999_999 });
    lockFolder(folder)();
  });

  test.runIf(process.platform === "linux")(
    "holds across pid namespaces of one host, and ends with its holder",
    async ({ skip }) => {
      const inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"];
      const body = `
      try { lockFolder(folder); console.log("held"); setInterval(() => {}, 1000); } catch (error) { console.log(error.message); }`;
      try {
        execFileSync(inside[0]!, [...inside.slice(1), "true"], { stdio: "pipe" });
      } catch (error) {
        skip(true, `pid namespaces are not allowed here: ${(error as Error).message.split("\n")[0]}`);
      }
      const holder = elsewhere(body, ...inside);
      expect(await firstOutput(holder)).toBe("held\n");
      expect(() => lockFolder(folder)).toThrow(/in use by process 1 in another container/);
      // A sibling, which sees neither the holder's processes nor ours: for all of them it is process 1.
      const sibling = elsewhere(body, ...inside);
      expect(await firstOutput(sibling)).toMatch(/in use by process 1 in another container/);
      holder.kill("SIGKILL");
      await ended(holder);
      const next = elsewhere(body, ...inside);
      expect(await firstOutput(next)).toBe("held\n");
      next.kill("SIGKILL");
      await ended(next);
      lockFolder(folder)();
      expect(readdirSync(folder)).toEqual([]);
    },
    20_000,
  );

  test("racing takers never win together, even over stale lock files", async () => {
    const body = `
      let wins = 0;
      for (const end = Date.now() + 1500; Date.now() < end; ) {
        let release;
        try { release = lockFolder(folder); } catch (error) { if (error.name === "InputError") continue; throw error; }
        wins += 1;
        fs.closeSync(fs.openSync(folder + "/critical", "wx")); // throws if another holder is inside
        fs.writeFileSync(folder + "/lock-${host}-999999999-" + process.pid + "-${namespace}-${boot}-00000000", ""); // a dead process's lock file
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
