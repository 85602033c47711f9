/** All commands, in the order in which help lists them. */
import type { Command } from "./command.ts";
import { demo } from "./demo/demo.ts";
import { encode } from "./encode.ts";
import { finetune } from "./finetune.ts";
import { inspect } from "./inspect.ts";
import { prune } from "./prune.ts";
import { sample } from "./sample.ts";
import { train } from "./train.ts";
import { trainClassifier } from "./train-classifier.ts";

export const commands: readonly Command[] = [
  demo,
  encode,
  train,
  prune,
  finetune,
  sample,
  inspect,
  trainClassifier,
].map((command) => command as unknown as Command);
