/** Every gradient rule against central differences in float64. */
import { describe, expect, test } from "vitest";
import { nodesOf } from "../../src/graph/graph.ts";
import { centralDifferences } from "../reference/central-differences.ts";
import { evaluate } from "../reference/evaluate.ts";
import { feedsOf, listCases, traceCase, valuesOf } from "./cases/op-case.ts";
import { opCases } from "./cases/op-cases.ts";

const cases = listCases(opCases);

function largest(values: Float64Array): number {
  return values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
}

describe("the gradient agrees with central differences", () => {
  test.each(
    cases.filter(({ noGradient }) => !noGradient).map((entry) => ({ ...entry, title: entry.case.title })),
  )("$op $title", ({ case: item }) => {
    const traced = traceCase(item, true);
    const feeds = valuesOf(feedsOf(traced.leaves, item.sizes[0]!));
    const results = evaluate(traced.graph, feeds);
    expect(traced.differentiable.length).toBeGreaterThan(0);
    for (const name of traced.differentiable) {
      const expected = centralDifferences(traced.graph.outputs.loss!, feeds, name);
      const actual = results[`d.${name}`]!;
      expect(actual.shape).toEqual(feeds[name]!.shape);
      const apart = largest(expected.map((value, i) => value - actual.data[i]!));
      expect(apart, `d.${name}: ${actual.data} instead of ${expected}`).toBeLessThanOrEqual(
        Math.max(1e-6 * largest(expected), 1e-9),
      );
    }
  });
});

describe("the case table", () => {
  test.each(cases.map((entry) => ({ ...entry, title: entry.case.title })))("$op $title applies $op", (entry) => {
    const { graph } = traceCase(entry.case, false);
    expect(nodesOf(Object.values(graph.outputs)).map((node) => node.op)).toContain(entry.op);
  });
});
