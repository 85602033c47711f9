/** All commands, in the order in which help lists them. */
import type { Command } from "./command.ts";
import { train } from "./train.ts";
import { trainClassifier } from "./train-classifier.ts";

export const commands: readonly Command[] = [train as unknown as Command, trainClassifier as unknown as Command];
