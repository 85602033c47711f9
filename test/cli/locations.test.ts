/** Commands take weights from the web: from a hub, or from any address. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { listed } from "../storage/download/hub-server.ts";
import { serve, startServer } from "../storage/download/server.ts";
import { plantImages, plantModel, run } from "./program-run.ts";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-locations-"));
const server = await startServer();
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const model = await plantModel(join(folder, "model.safetensors"));
const bytes = readFileSync(model);
const env = {
  TINYFUSION_CACHE: join(folder, "cache"),
  HF_HOME: join(folder, "huggingface"),
  HF_ENDPOINT: server.origin,
};
const data = plantImages(folder);

/** A hub with one repository of one file. */
server.answer((request, response) => {
  const url = request.url ?? "";
  if (url.startsWith("/api/models/someone/tiny/tree/")) {
    response.end(JSON.stringify([listed("model.safetensors", bytes)]));
  } else if (url.startsWith("/api/models/someone/tiny/revision/main")) {
    response.end(JSON.stringify({ id: "someone/tiny", sha: "ab".repeat(20) }));
  } else if (url.includes("/resolve/") || url.startsWith("/files/tiny.safetensors")) {
    serve(request, response, bytes, { etag: '"one"' });
  } else response.writeHead(404).end();
});

const quick = ["--count", "4", "--steps", "2", "--threads", "1"];
const oneStep = ["--steps", "1", "--batch-size", "2", "--threads", "1"];
const study = [
  "--count",
  "20",
  "--batch",
  "10",
  "--steps",
  "ddim2",
  "--rounds",
  "1",
  "--keep",
  "100",
  "--threads",
  "1",
];

it("samples a model of the hub, and again without a connection", async () => {
  const out = ["--out", join(folder, "samples")];
  const first = await run(["sample", "hf:someone/tiny", ...quick, ...out], undefined, env);
  expect([first.code, first.stderr]).toEqual([0, expect.not.stringContaining("tinyfusion:")]);
  const asked = server.requests.length;
  const again = await run(["sample", "hf:someone/tiny", ...quick, ...out], undefined, { ...env, HF_HUB_OFFLINE: "1" });
  expect(again.code, again.stderr).toBe(0);
  expect(server.requests.length).toBe(asked);
  expect(asked).toBeGreaterThan(0);
}, 20_000);

it("compares what is in the cache with its checksums if asked to", async () => {
  const offline = { ...env, HF_HUB_OFFLINE: "1" };
  const blobs = join(env.HF_HOME, "hub", "models--someone--tiny", "blobs");
  const [blob] = readdirSync(blobs);
  const damaged = Buffer.from(bytes);
  damaged[damaged.length - 1]! ^= 1;
  writeFileSync(join(blobs, blob!), damaged);
  expect((await run(["inspect", "hf:someone/tiny"], undefined, offline)).code).toBe(0);
  const verified = await run(["inspect", "hf:someone/tiny", "--verify"], undefined, offline);
  expect(verified.code).toBe(1);
  expect(verified.stderr).toMatch(
    /model\.safetensors is damaged: expected checksum \w{64}; run once without offline mode/,
  );
  const repaired = await run(["inspect", "hf:someone/tiny", "--verify"], undefined, env);
  expect([repaired.code, readFileSync(join(blobs, blob!)).equals(bytes)]).toEqual([0, true]);
});

it("takes options from an address too, where the option names weights", async () => {
  const kept = await run(["prune", model, "--blocks", "0,2", "--out", join(folder, "pruned")], undefined, env);
  expect(kept.code, kept.stderr).toBe(0);
  const student = join(folder, "pruned", "pruned.safetensors");
  const teacher = `${server.origin}/files/tiny.safetensors`;
  const run1 = ["finetune", student, "--teacher", teacher, ...data, ...oneStep];
  const tuned = await run([...run1, "--out", join(folder, "tuned")], undefined, env);
  expect(tuned.code, tuned.stderr).toBe(0);
}, 20_000);

it("repeats names and addresses in a report, where the command got paths", async () => {
  const out = join(folder, "study");
  const studied = await run(["pareto", "hf:someone/tiny", ...study, "--out", out], undefined, env);
  expect(studied.code, studied.stderr).toBe(0);
  expect(readFileSync(join(out, "report.html"), "utf8")).toContain("tinyfusion pareto hf:someone/tiny --count 20");
}, 20_000);

it("keeps what is secret in an address out of messages, run folders and reports", async () => {
  const secret = "X-Amz-Signature=SECRET&token=SECRET";
  const address = `${server.origin}/files/tiny.safetensors?${secret}`;
  const out = join(folder, "secret");
  const said: string[] = [];
  const codes: number[] = [];
  for (const call of [
    ["pareto", address, ...study, "--out", join(out, "a")],
    ["train", "--init", address, ...data, ...oneStep, "--out", join(out, "b")],
    ["inspect", address],
    ["inspect", ` ${address}`],
    ["sample", `ttp://u:SECRET@host/x?${secret}`],
    ["train", "--data", address, "--steps", "1", "--out", join(out, "c")],
    ["train", "--model-config", address, ...data, "--steps", "1", "--out", join(out, "d")],
    ["convert", address, "--to", address],
    [address],
    ["inspect", model, address, address],
  ]) {
    const { code, stdout, stderr } = await run(call, undefined, env);
    said.push(stdout, stderr);
    codes.push(code);
  }
  expect(codes.map((code) => code > 0)).toEqual([false, false, false, true, true, true, true, true, true, true]);
  expect(said.join("\n")).not.toContain("SECRET");
  expect(readFileSync(join(out, "a", "report.html"), "utf8")).toContain("/files/tiny.safetensors --count 20");
  for (const root of [out, env.TINYFUSION_CACHE])
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true }))
      if (entry.isFile()) {
        const path = join(entry.parentPath, entry.name);
        expect(readFileSync(path).includes("SECRET"), path).toBe(false);
      }
}, 60_000);

it("says what is not there, in one sentence", async () => {
  const missing = await run(["sample", "hf:someone/else", ...quick], undefined, env);
  expect(missing.code).toBe(1);
  expect(missing.stderr).toMatch(/^tinyfusion: .*someone\/else.*\n$/);
  const offline = await run(["inspect", "hf:someone/other"], undefined, { ...env, TINYFUSION_OFFLINE: "1" });
  expect(offline.code).toBe(1);
  expect(offline.stderr).toMatch(/someone\/other.*offline/);
}, 20_000);

it.each<readonly string[]>([
  ["inspect"],
  ["sample"],
  ["evaluate"],
  ["bench-model"],
  ["generate", "--out", "unused"],
  ["convert", "--out", "unused"],
  ["train", "--out", "unused", "--init"],
])("%s: a name like a repository's that is no path is told as hf:…", async (...command) => {
  const { code, stderr } = await run([...command, "facebook/DiT-XL-2-256"], undefined, env);
  expect(code).toBe(1);
  expect(stderr).toBe(
    "tinyfusion: cannot read facebook/DiT-XL-2-256: no such file or folder; for a repository of the Hugging Face hub " +
      "write hf:facebook/DiT-XL-2-256\n",
  );
});

it("a path that is mistyped is not taken for a repository", async () => {
  for (const path of ["runs/model.safetensors", "models/nothing", "./a/b", "/a/b", "nothing"]) {
    const { stderr } = await run(["inspect", path], undefined, env);
    expect(stderr, path).not.toContain("hf:");
  }
});
