/** `tinyfusion/formats`: bytes to arrays and back. Runs in a browser. */

export { encodePng, imageGrid } from "./formats/image-bytes.ts";
export { decodeSafetensors, encodeSafetensors } from "./formats/safetensors.ts";
export { encodeTorch } from "./formats/torch/encode-torch.ts";
export type { StoredTensor } from "./formats/weight-file.ts";
