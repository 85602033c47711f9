/** `tinyfusion reference`: statistics of real images, made once, that generated images are compared with. */
import { networkText } from "../evaluation/reference/reference.ts";
import { makeReferenceFile, makeReferenceFileSettings } from "../tasks/reference.ts";
import { command, STOPPED, taskSettings, unlessStopped } from "./command.ts";

const { images: _, ...options } = makeReferenceFileSettings;

export const reference = command({
  name: "reference",
  summary: "Make the statistics of real images that generated ones are compared with.",
  argument: "<images>",
  options,
  examples: [
    "tinyfusion reference imagenet/train-256 --inception-weights pt_inception-2015-12-05-6726825d.pth --out imagenet256.npz",
    "tinyfusion reference VIRTUAL_imagenet256_labeled.npz --inception-weights inception-2015-12-05.pt --out adm-batch.npz",
  ],
  async run(values, context, of) {
    const work = () => makeReferenceFile(taskSettings("reference", values, context, { images: of }));
    const result = await unlessStopped(context, work, "stopped; finished features stay, the same command resumes");
    if (!result) return STOPPED;
    const { file, images, network } = result;
    context.print(file);
    context.print(`${images.count} images of ${images.height} × ${images.width}, ${networkText(network)}`);
    return 0;
  },
});
