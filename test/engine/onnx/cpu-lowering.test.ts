/** ONNX Runtime's CPU provider against the reference. */
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { describeLowering } from "./against-reference.ts";

describeLowering("the CPU lowering", cpuEngine({ threads: 1 }));
