/** A slow encoding in a process of its own, to be killed: `encode-child.ts FOLDER`. */
import { setTimeout } from "node:timers/promises";
import { cellEncoder } from "./cell-encoder.ts";
import { encodeTiny } from "./encode-run.ts";

const encoder = cellEncoder();
await encodeTiny(
  process.argv[2]!,
  { flip: true },
  {
    encoder: { ...encoder, encode: (images) => setTimeout(30).then(() => encoder.encode(images)) },
    onProgress: (done) => process.stdout.write(`${done}\n`),
  },
);
