/** `tinyfusion reference`: statistics of real images, made once, that generated images are compared with. */
import { networkText } from "../evaluation/reference/reference.ts";
import { makeReferenceFile, makeReferenceFileSettings } from "../tasks/reference.ts";
import { command } from "./command.ts";

export const reference = command({
  name: "reference",
  summary: "Make the statistics of real images that generated ones are compared with.",
  settings: makeReferenceFileSettings,
  positional: ["images"],
  examples: [
    "tinyfusion reference imagenet/train-256 --inception-weights pt_inception-2015-12-05-6726825d.pth --out imagenet256.npz",
    "tinyfusion reference VIRTUAL_imagenet256_labeled.npz --inception-weights inception-2015-12-05.pt --out adm-batch.npz",
  ],
  stopped: "stopped; finished features stay, the same command resumes",
  async run(settings) {
    const { file, images, network } = await makeReferenceFile(settings);
    return [file, `${images.count} images of ${images.height} × ${images.width}, ${networkText(network)}`];
  },
});
