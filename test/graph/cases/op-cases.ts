/** The conformance table of the graph's operations: a new operation does not compile until it has cases here. */
import type { Op } from "../../../src/graph/op.ts";
import { elementwiseCases } from "./elementwise.ts";
import { layerCases } from "./layers.ts";
import { layoutCases } from "./layout.ts";
import { maskCases } from "./masks.ts";
import type { CaseTable } from "./op-case.ts";

export const opCases: CaseTable<Op> = { ...elementwiseCases, ...layoutCases, ...layerCases, ...maskCases };
