import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { chooseFiles } from "../../../src/storage/download/hub-files.ts";

const files = (...paths: string[]) => paths.map((path) => ({ path, size: 1, oid: "" }));
const chosen = (paths: string[], wanted?: string) => {
  const { root, files: found } = chooseFiles(files(...paths), wanted, "hf:a/b@main");
  return { root, files: found.map(({ path }) => path) };
};

const pipeline = [
  ".gitattributes",
  "README.md",
  "model_index.json",
  "scheduler/scheduler_config.json",
  "transformer/config.json",
  "transformer/diffusion_pytorch_model.bin",
  "transformer/diffusion_pytorch_model.fp16.safetensors",
  "transformer/diffusion_pytorch_model.safetensors",
  "vae/config.json",
  "vae/diffusion_pytorch_model.bin",
  "text_encoder/model.safetensors",
];
const sharded = [
  "config.json",
  "x.safetensors.index.json",
  "x-00001-of-00002.safetensors",
  "x-00002-of-00002.safetensors",
];

describe("choosing files of a repository", () => {
  test("a diffusers pipeline: configuration and weights, rather safetensors than pickles, no variants", () => {
    expect(chosen(pipeline)).toEqual({
      root: "",
      files: [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.bin",
      ],
    });
  });

  test("one part of a pipeline, one file of it, and variants where there is nothing else", () => {
    expect(chosen(pipeline, "vae")).toEqual({
      root: "vae",
      files: ["vae/config.json", "vae/diffusion_pytorch_model.bin"],
    });
    expect(chosen(pipeline, "README.md")).toEqual({ root: "README.md", files: ["README.md"] });
    expect(chosen(["vae/config.json", "vae/m.fp16.safetensors"], "vae").files).toEqual([
      "vae/config.json",
      "vae/m.fp16.safetensors",
    ]);
  });

  test("a diffusers model at the top: its folder", () => {
    const vae = ["README.md", "config.json", "diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"];
    expect(chosen(vae)).toEqual({ root: "", files: ["config.json", "diffusion_pytorch_model.safetensors"] });
  });

  test("the only weights, in whatever folder", () => {
    expect(chosen(["README.md", "out/model.pt"])).toEqual({ root: "out/model.pt", files: ["out/model.pt"] });
  });

  test("shards come with their index, alone or in a part of a pipeline", () => {
    expect(chosen(sharded)).toEqual({ root: "x.safetensors.index.json", files: sharded.slice(1) });
    expect(chosen(sharded, "x.safetensors.index.json").files).toEqual(sharded.slice(1));
    expect(chosen(sharded, "x-00002-of-00002.safetensors").files).toEqual(["x-00002-of-00002.safetensors"]);
    const part = sharded.map((path) => `transformer/${path}`);
    expect(chosen(["model_index.json", ...part]).files).toEqual(["model_index.json", ...part]);
  });

  test.each<[string, string[], string | undefined, RegExp]>([
    ["several weights", ["a.pt", "b.safetensors"], undefined, /hf:a\/b@main: which file\? .*: a\.pt, b\.safetensors$/],
    ["no weights", ["README.md"], undefined, /expected weights, the repository has README\.md/],
    ["an empty repository", [], undefined, /the repository has no files/],
    ["a file that is not there", ["a.pt"], "b.pt", /there is no such file; the repository has a\.pt/],
    ["a folder without weights", ["x/readme"], "x", /expected weights in this folder, found x\/readme/],
    ["very many files", Array.from({ length: 40 }, (_, i) => `${i}.pt`), undefined, /10\.pt, 11\.pt and 28 more$/],
    [
      "a name that leaves the folder",
      ["../evil.pt"],
      undefined,
      /refused a file whose name leaves the repository: \.\.\/evil\.pt/,
    ],
    ["an absolute name", ["/etc/evil.pt"], undefined, /refused a file/],
    ["a name that leaves a part", ["model_index.json", "vae/..\\evil.pt"], undefined, /refused a file/],
    ["a name with a zero byte", ["a\0.pt"], undefined, /refused a file/],
  ])("%s is refused", (_name, paths, wanted, message) => {
    expect(() => chosen(paths, wanted)).toThrow(InputError);
    expect(() => chosen(paths, wanted)).toThrow(message);
  });
});
