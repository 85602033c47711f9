/** `tinyfusion compare`: samples from the same noise by two models, side by side, with differences and times. */
import { type CompareResult, compare, compareSettings } from "../tasks/compare.ts";
import { command, jsonFlag } from "./command.ts";
import { tableLines } from "./table.ts";

export const compareCommand = command({
  name: "compare",
  summary: "Sample from the same noise with two models: side by side, with differences and times.",
  settings: compareSettings,
  positional: ["first", "second"],
  flags: jsonFlag,
  examples: [
    "tinyfusion compare models/digits/teacher.safetensors runs/recovery/checkpoints/step-00002000/ema.safetensors --out pair.png",
    "tinyfusion compare DiT-XL-2-256x256.pt TinyDiT-D14.pt --model DiT-XL/2 --vae hf:stabilityai/sd-vae-ft-ema --classes 207,360 --cfg 4 --out pair.png --json",
  ],
  async run(settings, { json }) {
    const result = await compare(settings);
    return json ? [JSON.stringify(result, null, 2)] : linesOf(result);
  },
});

function linesOf({ models, ratio, rounds, rms, images, shown, amplification, picture }: CompareResult): string[] {
  const modelRows = models.map(({ path, weights, blocks, precision, secondsPerImage }, i) => {
    const used = weights === "ema" ? "averaged (EMA)" : "raw";
    return [
      "AB"[i]!,
      path,
      `${blocks} blocks${precision === "float32" ? "" : ` in ${precision}`}`,
      used,
      `${secondsPerImage.toPrecision(3)} s an image`,
    ];
  });
  const imageRows = images.map((one) => {
    return [String(one.image), String(one.label), one.rms.toPrecision(3), one.largest.toPrecision(3)];
  });
  const header = ["image", "class", "RMS of B − A", "largest"];
  return [
    ...tableLines(modelRows),
    `time of A ÷ time of B: ${ratio.toFixed(2)} (median of ${rounds} rounds in turn)`,
    "",
    ...tableLines([header, ...imageRows, ["all", "", rms.toPrecision(3), ""]], [0, 1, 2, 3]),
    "",
    `${picture}: in each band A, B, and (B − A) × ${amplification} around gray; ${shown}${shown === "images" ? "" : "; --vae decodes them"}`,
  ];
}
