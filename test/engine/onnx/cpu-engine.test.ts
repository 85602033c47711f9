/** The CPU engine: the table of all engines, and that threads do not disturb sums. */
import { describe, expect, test } from "vitest";
import { float32, int32 } from "../../../src/array/ndarray.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import * as g from "../../../src/graph/build.ts";
import { describeEngine } from "../engine-cases.ts";

describeEngine(() => cpuEngine({ threads: 1 }));

describe("with two threads", () => {
  test("many rows summed into few lose none", async () => {
    const [rows, size, places] = [20_000, 16, 3];
    const updates = g.input("updates", [rows, size]);
    const index = g.input("index", [rows], "int32");
    const program = await cpuEngine({ threads: 2 }).compile({ outputs: { y: g.scatterAdd(index, updates, places) } });
    const data = new Float32Array(rows * size).fill(1);
    const feeds = {
      updates: float32(data, [rows, size]),
      index: int32(Array.from({ length: rows }, (_, i) => i % places)),
    };
    const counts = [6667, 6667, 6666].flatMap((count) => new Array<number>(size).fill(count));
    for (let run = 0; run < 5; run++) expect([...(await runAndRead(program, feeds)).y!.data]).toEqual(counts);
  });
});
