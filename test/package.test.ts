/** What npm would publish, installed in an empty folder, works there. `package.long.ts` runs the demo in it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Packed } from "./packed.ts";

let packed: Packed;
beforeAll(() => {
  packed = new Packed();
}, 180_000);
afterAll(() => packed?.remove());

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

test("the package holds the built program with its sources, the digits and their models, and nothing else", () => {
  const needed = ["package.json", "README.md", "LICENSE", "bin/tinyfusion.js", "dist/index.js", "dist/index.d.ts"];
  const digits = ["mnist-10k-images-idx3-ubyte.gz", "mnist-10k-labels-idx1-ubyte.gz", "classifier.safetensors"];
  const teachers = ["teacher.safetensors", "sit-teacher.safetensors", "mar-teacher.safetensors"];
  const models = [...digits, ...teachers].map((name) => `models/digits/${name}`);
  expect(packed.files).toEqual(expect.arrayContaining([...needed, ...models]));
  const others = packed.files.filter((path) => !needed.includes(path) && !models.includes(path));
  const expected = /^(dist\/.*\.(js|d\.ts)(\.map)?|src\/.*\.ts|NOTICE|CHANGELOG\.md)$/;
  expect(others.filter((path) => !expected.test(path))).toEqual([]);
});

test("maps lead from the program and its declarations to sources in the package", () => {
  const maps = packed.files.filter((path) => path.endsWith(".map"));
  expect(maps).toEqual(expect.arrayContaining(["dist/index.js.map", "dist/index.d.ts.map"]));
  const missing = maps.flatMap((path) => {
    const { sources } = JSON.parse(readFileSync(join(packed.project, "node_modules/tinyfusion", path), "utf8"));
    const found = (sources as string[]).map((source) => posix.join(posix.dirname(path), source));
    return found.filter((source) => !packed.files.includes(source));
  });
  expect(missing).toEqual([]);
});

test.each([
  ["publint", "run", "--strict"],
  ["attw", "--profile", "esm-only"],
])(
  "it passes %s",
  (name, ...args) => {
    const { status, stdout, stderr } = packed.tool(name, ...args, packed.tarball);
    expect(status, stdout + stderr).toBe(0);
  },
  120_000,
);

test("in a repository that is not built, the command says what to do", () => {
  const folder = join(packed.folder, "unbuilt");
  mkdirSync(folder);
  cpSync("bin", join(folder, "bin"), { recursive: true });
  cpSync("package.json", join(folder, "package.json"));
  const { stderr, status } = spawnSync(process.execPath, [join(folder, "bin/tinyfusion.js")], { encoding: "utf8" });
  expect(stderr).toMatch(/^tinyfusion is not built .*: run `npm run build`/);
  expect(status).toBe(1);
});

test("npx tinyfusion knows its version and looks into a packaged file", () => {
  expect(packed.tinyfusion("--version").stdout).toBe(`${version}\n`);
  const file = join(packed.project, "node_modules/tinyfusion/models/digits/classifier.safetensors");
  const { stdout, status } = packed.tinyfusion("inspect", file);
  expect(stdout).toMatch(/\nkind +digit classifier\n/);
  expect(status).toBe(0);
}, 30_000);

test("npx tinyfusion runs the engine", () => {
  const training = ["--steps", "2", "--batch-size", "2", "--threads", "1", "--out", "run"];
  const { stdout, stderr, status } = packed.tinyfusion("train", ...training);
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/step-00000002.ema\.safetensors\n$/);
}, 60_000);

test("a program can import the library", () => {
  const { stdout, stderr } = packed.node(
    'import { float32, openDevice } from "tinyfusion";\nimport { ops } from "tinyfusion/graph";\n' +
      'const program = await openDevice("cpu").compile({ outputs: { y: ops.mul(ops.input("x", [2]), 3) } });\n' +
      "const { y } = await program.run({ x: float32([1, 2]) });\n" +
      'console.log([...(await y.read()).data].join(" "));\n',
  );
  expect(stderr).toBe("");
  expect(stdout).toBe("3 6\n");
}, 30_000);

test("a program in TypeScript sees the types of every entry point", () => {
  const program = [
    'import { train } from "tinyfusion";',
    'import type { Engine } from "tinyfusion/browser";',
    'import { encodeSafetensors } from "tinyfusion/formats";',
    'import { ops, type Tensor } from "tinyfusion/graph";',
    'import { preset } from "tinyfusion/models";',
    'export const x: Tensor = ops.input("x", [2]);',
    "// @ts-expect-error: the name of a preset is a text",
    "preset(1);",
    "// @ts-expect-error: a number of steps is a number",
    'void train({ steps: "many" });',
    "export { encodeSafetensors };",
  ];
  writeFileSync(join(packed.project, "program.ts"), `${program.join("\n")}\n`);
  const settings = ["--noEmit", "--strict", "--module", "nodenext", "--skipLibCheck"];
  const types = ["--types", "node", "--typeRoots", resolve("node_modules/@types")];
  const { status, stdout } = packed.typeScript(packed.project, ...settings, ...types, "program.ts");
  expect(status, stdout).toBe(0);
}, 60_000);
