/** The package as npm would publish it from these sources, installed in an empty folder. */
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export class Packed {
  /** Temporary; removed by `remove`. */
  readonly folder = mkdtempSync(join(tmpdir(), "tinyfusion-packed-"));
  /** Where the package is installed. */
  readonly project = join(this.folder, "project");
  /** Paths in the package. */
  readonly files: readonly string[];
  /** The file that npm would publish. */
  readonly tarball: string;

  constructor() {
    const source = join(this.folder, "source");
    mkdirSync(source);
    const texts = [
      "package.json",
      "tsconfig.json",
      "tsconfig.build.json",
      "README.md",
      "LICENSE",
      "NOTICE",
      "CHANGELOG.md",
    ];
    for (const name of [...texts, "bin", "models", "src"]) {
      if (existsSync(name)) cpSync(name, join(source, name), { recursive: true });
    }
    symlinkSync(resolve("node_modules"), join(source, "node_modules"), "junction");
    checked(this.typeScript(source, "-p", "tsconfig.build.json"));
    const packed = checked(this.#npm(source, "pack", "--json", "--pack-destination", this.folder));
    const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
    this.files = files.map(({ path }) => path);
    mkdirSync(this.project);
    writeFileSync(join(this.project, "package.json"), '{ "private": true, "type": "module" }\n');
    // As the README says: keeps the engine package from fetching GPU files.
    writeFileSync(join(this.project, ".npmrc"), "onnxruntime-node-install=skip\n");
    this.tarball = join(this.folder, readdirSync(this.folder).find((name) => name.endsWith(".tgz"))!);
    this.#install(this.tarball);
  }

  #install(tarball: string): void {
    const quietly = ["--prefer-offline", "--no-audit", "--no-fund"];
    const ended = this.#npm(this.project, "install", ...quietly, tarball);
    if (!/ENOTFOUND|EAI_AGAIN|ECONN|ETIMEDOUT|ENOTCACHED/.test(ended.stderr)) return void checked(ended);
    console.warn("no registry: the package is unpacked beside this project's own dependencies, not installed");
    const target = join(this.project, "node_modules");
    mkdirSync(join(target, "tinyfusion"), { recursive: true });
    const unpack = ["-xzf", tarball, "-C", join(target, "tinyfusion"), "--strip-components", "1"];
    checked(spawnSync("tar", unpack, { encoding: "utf8" }));
    for (const name of readdirSync("node_modules")) {
      if (!/^(\.|tinyfusion)/.test(name)) symlinkSync(resolve("node_modules", name), join(target, name), "junction");
    }
    mkdirSync(join(target, ".bin"));
    chmodSync(join(target, "tinyfusion/bin/tinyfusion.js"), 0o755);
    symlinkSync("../tinyfusion/bin/tinyfusion.js", join(target, ".bin/tinyfusion"));
  }

  #npm(cwd: string, ...args: string[]): SpawnSyncReturns<string> {
    return spawnSync("npm", args, { cwd, encoding: "utf8", shell: process.platform === "win32" });
  }

  /** `npx tinyfusion …` in the project. */
  tinyfusion(...args: string[]): SpawnSyncReturns<string> {
    const options = { cwd: this.project, encoding: "utf8", shell: process.platform === "win32" } as const;
    return spawnSync("npx", ["--no-install", "tinyfusion", ...args], options);
  }

  /** A command of this project's own dependencies, such as `publint`. */
  tool(name: string, ...args: string[]): SpawnSyncReturns<string> {
    return spawnSync("npx", ["--no-install", name, ...args], { encoding: "utf8", shell: process.platform === "win32" });
  }

  /** The TypeScript compiler in a folder. */
  typeScript(cwd: string, ...args: string[]): SpawnSyncReturns<string> {
    const tsc = resolve("node_modules/typescript/bin/tsc");
    return spawnSync(process.execPath, [tsc, ...args], { cwd, encoding: "utf8" });
  }

  /** A program in the project. */
  node(program: string): SpawnSyncReturns<string> {
    writeFileSync(join(this.project, "program.js"), program);
    return spawnSync(process.execPath, ["program.js"], { cwd: this.project, encoding: "utf8" });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

function checked(ended: SpawnSyncReturns<string>): SpawnSyncReturns<string> {
  if (ended.status !== 0) throw new Error(`${ended.error ?? ""}${ended.stdout}${ended.stderr}`);
  return ended;
}
