/** The conformance table of lowerings: every operation and every gradient against the reference, for all sizes of a case. */
import { describe, expect, test } from "vitest";
import type { NDArray } from "../../../src/array/ndarray.ts";
import { type Engine, runAndRead } from "../../../src/engine/engine.ts";
import { feedsOf, listCases, traceCase, valuesOf } from "../../graph/cases/op-case.ts";
import { opCases } from "../../graph/cases/op-cases.ts";
import { evaluate, type Value } from "../../reference/evaluate.ts";

const exact = (dtype: string): boolean => dtype === "int32" || dtype === "bool";

function expectClose(label: string, actual: NDArray, expected: Value): void {
  expect(actual.shape, label).toEqual(expected.shape);
  const values = Array.from(actual.data, Number);
  const largest = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  // The loss is a sum of terms that may cancel.
  const floor = label.endsWith(" loss") ? 1e-5 : 1e-7;
  const allowed = exact(actual.dtype) ? 0 : Math.max(1e-5 * largest, floor);
  expected.data.forEach((value, i) => {
    const message = `${label}[${i}] is ${values[i]}, the reference has ${value}`;
    expect(Math.abs(values[i]! - value) <= allowed, message).toBe(true);
  });
}

/** Registers one test for each case; `refused` are operations that the engine has no kernels for, and says so. */
export function describeLowering(lowering: string, engine: Engine, refused: readonly string[] = []): void {
  describe(`${lowering} agrees with the reference`, () => {
    test.each(listCases(opCases).map((entry) => ({ ...entry, title: entry.case.title })))("$op $title", async ({
      case: item,
      op,
      noGradient,
    }) => {
      const { graph, leaves } = traceCase(item, !noGradient);
      if (refused.includes(op)) return expect(engine.compile(graph)).rejects.toThrow(/there are no products in /);
      const session = await engine.compile(graph);
      for (const sizes of item.sizes) {
        const feeds = feedsOf(leaves, sizes);
        const results = await runAndRead(session, feeds);
        const expected = evaluate(graph, valuesOf(feeds));
        expect(Object.keys(results).sort()).toEqual(Object.keys(expected).sort());
        for (const [name, value] of Object.entries(expected)) {
          expectClose(`${JSON.stringify(sizes)} ${name}`, results[name]!, value);
        }
      }
      await session.release();
    });
  });
}
