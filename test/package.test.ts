/** What npm would publish, installed in an empty folder, works there. `package.long.ts` runs the demo in it. */
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Packed } from "./packed.ts";

let packed: Packed;
beforeAll(() => {
  packed = new Packed();
}, 180_000);
afterAll(() => packed?.remove());

const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };

test("the package holds the built program, the digits and the classifier, and no sources", () => {
  const needed = ["package.json", "README.md", "LICENSE", "bin/tinyfusion.js", "dist/index.js", "dist/index.d.ts"];
  const models = ["mnist-10k-images-idx3-ubyte.gz", "mnist-10k-labels-idx1-ubyte.gz", "classifier.safetensors"];
  expect(packed.files).toEqual(expect.arrayContaining([...needed, ...models.map((name) => `models/digits/${name}`)]));
  expect(packed.files.filter((path) => /\.map$|(^|[^d])\.ts$|^(src|test|runs|shared)\//.test(path))).toEqual([]);
});

test("nothing that the demo computes is in the package", () => {
  const texts = /^(package\.json|README\.md|LICENSE|NOTICE|CHANGELOG\.md)$/;
  const others = packed.files.filter(
    (path) => !/^dist\/.*\.(js|d\.ts)$/.test(path) && path !== "bin/tinyfusion.js" && !texts.test(path),
  );
  expect(
    others.filter((path) => !/^models\/digits\/(mnist-10k|classifier|(sit-|mar-)?teacher)[^/]*$/.test(path)),
  ).toEqual([]);
});

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
    'import { cpuEngine, float32 } from "tinyfusion";\nimport { ops } from "tinyfusion/graph";\n' +
      'const session = await cpuEngine().compile({ outputs: { y: ops.mul(ops.input("x", [2]), 3) } });\n' +
      "const { y } = await session.run({ x: float32([1, 2]) });\n" +
      'console.log([...y.data].join(" "));\n',
  );
  expect(stderr).toBe("");
  expect(stdout).toBe("3 6\n");
}, 30_000);
