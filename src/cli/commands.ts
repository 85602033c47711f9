/** All commands, in the order in which help lists them. */
import { benchModelCommand } from "./bench-model.ts";
import type { Command } from "./command.ts";
import { compareCommand } from "./compare.ts";
import { convert } from "./convert.ts";
import { demo } from "./demo/demo.ts";
import { encode } from "./encode.ts";
import { evaluateCommand } from "./evaluate.ts";
import { exportCommand } from "./export.ts";
import { finetune } from "./finetune.ts";
import { generateCommand } from "./generate.ts";
import { inspect } from "./inspect.ts";
import { pareto } from "./pareto/pareto.ts";
import { prune } from "./prune/prune.ts";
import { pruneWidth } from "./prune/prune-width.ts";
import { reference } from "./reference.ts";
import { sampleCommand } from "./sample.ts";
import { train } from "./train.ts";
import { trainClassifier } from "./train-classifier.ts";

export const commands: readonly Command[] = [
  demo,
  encode,
  train,
  prune,
  pruneWidth,
  finetune,
  sampleCommand,
  generateCommand,
  reference,
  evaluateCommand,
  compareCommand,
  benchModelCommand,
  pareto,
  exportCommand,
  inspect,
  convert,
  trainClassifier,
].map((command) => command as unknown as Command);
