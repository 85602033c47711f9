/** All commands, in the order in which help lists them. */
import type { Command } from "./command.ts";
import { compare } from "./compare.ts";
import { convert } from "./convert.ts";
import { demo } from "./demo/demo.ts";
import { encode } from "./encode.ts";
import { exportCommand } from "./export.ts";
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
  compare,
  exportCommand,
  inspect,
  convert,
  trainClassifier,
].map((command) => command as unknown as Command);
