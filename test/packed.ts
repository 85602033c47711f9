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

  constructor() {
    const source = join(this.folder, "source");
    mkdirSync(source);
    for (const name of ["package.json", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "bin", "models"]) {
      if (existsSync(name)) cpSync(name, join(source, name), { recursive: true });
    }
    const tsc = ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json", "--outDir", join(source, "dist")];
    checked(spawnSync(process.execPath, tsc, { encoding: "utf8" }));
    const packed = checked(this.#npm(source, "pack", "--json", "--pack-destination", this.folder));
    const [{ files }] = JSON.parse(packed.stdout) as [{ files: { path: string }[] }];
    this.files = files.map(({ path }) => path);
    mkdirSync(this.project);
    writeFileSync(join(this.project, "package.json"), '{ "private": true, "type": "module" }\n');
    // As the README says: keeps the engine package from fetching GPU files.
    writeFileSync(join(this.project, ".npmrc"), "onnxruntime-node-install=skip\n");
    const tarball = readdirSync(this.folder).find((name) => name.endsWith(".tgz"))!;
    this.#install(join(this.folder, tarball));
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
      if (!name.startsWith(".")) symlinkSync(resolve("node_modules", name), join(target, name), "junction");
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
