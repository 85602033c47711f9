/** The objective of each kind of process. */
import { type Process, type ProcessKind, scheduleOf } from "../diffusion/process.ts";
import { flowObjective } from "./flow-objective.ts";
import { gaussianObjective } from "./gaussian-objective.ts";
import type { Objective } from "./objective.ts";
import { tokenObjective } from "./token-objective.ts";

type Of<K extends ProcessKind> = Extract<Process, { kind: K }>;

const objectives: { readonly [K in ProcessKind]: (process: Of<K>) => Objective } = {
  gaussian: (process) => gaussianObjective(scheduleOf(process)),
  flow: flowObjective,
  tokens: tokenObjective,
};

/** What models of this process are trained to do. */
export const objectiveOf = (process: Process): Objective =>
  (objectives[process.kind] as (process: Process) => Objective)(process);
