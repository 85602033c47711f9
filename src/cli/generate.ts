/** `tinyfusion generate`: as many images as an evaluation needs, in a folder that can be completed after any stop. */
import { join } from "node:path";
import { cpuEngine } from "../engine/onnx/node-engine.ts";
import type { SettingTable } from "../tasks/settings.ts";
import { command, STOPPED } from "./command.ts";
import { drawSet, openDrawer, setOptions } from "./draw-set.ts";
import { modelName } from "./drawing.ts";

const options = {
  ...setOptions,
  count: { ...setOptions.count, fallback: 50_000 },
  out: {
    kind: "folder",
    help: "folder for shards/, generate.json and samples.npz (arr_0: N × H × W × 3 bytes); a begun one is completed [generated/MODEL]",
  },
} as const satisfies SettingTable;

export const generateCommand = command({
  name: "generate",
  summary:
    "Draw the images of an evaluation into a folder and a .npz file that ADM's evaluator reads; stop and repeat it at will.",
  argument: "<model>",
  options,
  examples: [
    "tinyfusion generate models/digits/teacher.safetensors --count 2000",
    "tinyfusion generate TinyDiT-D14.pt --model TinyDiT-D14 --vae hf:stabilityai/sd-vae-ft-ema --count 50000 --steps 250 --sampler ddpm --cfg 1.5 --out generated/d14",
    "tinyfusion generate models/digits/mar-teacher.safetensors --count 5000 --labels balanced --steps 16",
    "tinyfusion generate models/digits/sit-teacher.safetensors --classes 3,7 --count 1000 --out generated/sit-3-and-7",
  ],
  async run(values, context, path) {
    const out = values.out ?? join("generated", modelName(path!));
    const engine = cpuEngine({ threads: values.threads });
    const drawer = await openDrawer("generate", path!, values, context, engine);
    const set = await drawSet(drawer, { ...values, out }, context, engine);
    const result = set.finished
      ? [set.file, `${values.count} images`]
      : [`stopped with ${set.images} of ${values.count} images; the same command goes on`];
    for (const line of [...result, ...set.speed]) context.print(line);
    return set.finished ? 0 : STOPPED;
  },
});
