/** `tinyfusion convert`. */
import { basename } from "node:path";
import { convert, convertSettings } from "../tasks/convert.ts";
import { modelText } from "../tasks/model-settings.ts";
import { command } from "./command.ts";

export const convertCommand = command({
  name: "convert",
  summary: "Write weights of any format as safetensors, as a .pt of the original's names, or as a folder of diffusers.",
  settings: convertSettings,
  positional: ["file"],
  examples: [
    "tinyfusion convert DiT-XL-2-256x256.pt --model DiT-XL/2 --dtype float16 --out dit-xl-2.safetensors",
    "tinyfusion convert runs/mask/pruned.safetensors --to pt --out TinyDiT-D14.pt",
    "tinyfusion convert runs/mask/pruned.safetensors --to diffusers --vae hf:stabilityai/sd-vae-ft-ema --out TinyDiT-D14",
  ],
  async run(settings) {
    const { out, model, file } = await convert(settings);
    return [`${out}: ${modelText(model)}, from ${basename(file)}`];
  },
});
