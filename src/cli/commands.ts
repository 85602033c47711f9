/** All commands, in the order in which help lists them. */
import { benchModelCommand } from "./bench-model.ts";
import type { Command } from "./command.ts";
import { compareCommand } from "./compare.ts";
import { convertCommand } from "./convert.ts";
import { demo } from "./demo/demo.ts";
import { devicesCommand } from "./devices.ts";
import { encodeCommand } from "./encode.ts";
import { evaluateCommand } from "./evaluate.ts";
import { exportCommand } from "./export.ts";
import { finetuneCommand } from "./finetune.ts";
import { generateCommand } from "./generate.ts";
import { inspectCommand } from "./inspect.ts";
import { paretoCommand } from "./pareto.ts";
import { pruneCommand } from "./prune.ts";
import { pruneWidthCommand } from "./prune-width.ts";
import { reference } from "./reference.ts";
import { sampleCommand } from "./sample.ts";
import { trainCommand } from "./train.ts";
import { trainClassifierCommand } from "./train-classifier.ts";

export const commands: readonly Command[] = [
  demo,
  encodeCommand,
  trainCommand,
  pruneCommand,
  pruneWidthCommand,
  finetuneCommand,
  sampleCommand,
  generateCommand,
  reference,
  evaluateCommand,
  compareCommand,
  benchModelCommand,
  devicesCommand,
  paretoCommand,
  exportCommand,
  inspectCommand,
  convertCommand,
  trainClassifierCommand,
].map((command) => command as unknown as Command);
