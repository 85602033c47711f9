/** Gradients of low-rank factors and gates under masks and label drop against the original, dense and routed. */
import { describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { gateGroups } from "../../src/pruning/draw-mask.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { denseExecution, routedExecution } from "../../src/pruning/mask-execution.ts";
import { baseWeights, type DiTSettings, fixtureConfig } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import { batchFeeds, gateRows, maskStep } from "./mask-step.ts";
import { groupFloor } from "./matchers.ts";

interface Settings extends DiTSettings {
  readonly weights_file: string;
  readonly groups: readonly (readonly [number, number])[];
  readonly depth: number;
  readonly tau: number;
  readonly scaling: number;
  readonly lora_rank: number;
  readonly lora_alpha: number;
}

const fixture = loadFixture<Settings, { mean_loss: number; total_grad_norm: number }>("04b_mask_lora_grad");
const { settings, expected, tensor, names } = fixture;
const groups = gateGroups(
  parseGroups(settings.groups.map(([keep, size]) => `${keep}:${size}`).join(","), settings.depth),
);
const factors = atLeastOne(
  names.filter((name) => name.startsWith("lora/")),
  "low-rank factors",
);

describe.each(["dense", "routed"] as const)("low-rank gradients, %s", (kind) => {
  it("agree with the original in every factor, gate, loss and the total norm", async () => {
    const gumbel = gateRows(fixture, "gumbel.", groups);
    const execution = kind === "dense" ? denseExecution(gumbel.length, settings.depth) : routedExecution();
    const { results, gateGradient, adapterNames, draws } = await maskStep(execution, {
      config: fixtureConfig(settings, settings.depth),
      groups,
      gates: gateRows(fixture, "gumbel_gates.", groups)[0]!,
      gumbel,
      temperature: { tau: settings.tau, scale: settings.scaling },
      feeds: batchFeeds(fixture, "", settings.num_classes),
      weights: baseWeights(settings.weights_file, settings.depth),
      lora: {
        rank: settings.lora_rank,
        alpha: settings.lora_alpha,
        factors: Object.fromEntries(factors.map((name) => [name.slice("lora/".length), tensor(name)])),
      },
    });
    expect(adapterNames.map((name) => `lora/${name}`).sort()).toEqual([...factors].sort());
    groups.forEach(({ start, size }, g) => {
      const mask = draws.flatMap((draw) => [...draw.mask.subarray(start, start + size)]);
      expect(float32(mask, [draws.length, size])).toMatchGolden(tensor(`mask.${g}`), { relative: 1e-6 });
    });
    expect(results.output).toMatchGolden(tensor("output"), { relative: 1e-5 });
    for (const [ours, theirs] of [
      ["perSample", "loss"],
      ["mse", "mse"],
      ["vb", "vb"],
    ] as const) {
      expect(results[ours], theirs).toMatchGolden(tensor(theirs), { relative: 1e-4 });
    }
    const gradients = names.filter((name) => name.startsWith("grad/") && !name.includes("gumbel_gates"));
    const floor = groupFloor(gradients.map(tensor));
    for (const name of gradients) expect(results[name], name).toMatchGolden(tensor(name), { relative: 1e-3, floor });
    groups.forEach(({ offset, patterns }, g) => {
      const found = float32(gateGradient.subarray(offset, offset + patterns.length), [1, patterns.length]);
      expect(found).toMatchGolden(tensor(`grad/gumbel_gates.${g}`), { relative: 1e-3 });
    });
    const squares = adapterNames.map((name) => squaredNorm(results[`grad/${name}`]!.data as Float32Array));
    const norm = Math.sqrt(squares.reduce((a, b) => a + b, 0) + squaredNorm(gateGradient));
    expect(norm / expected.total_grad_norm).toBeCloseTo(1, 3);
    const losses = results.perSample!.data as Float32Array;
    expect(losses.reduce((a, b) => a + b, 0) / losses.length / expected.mean_loss).toBeCloseTo(1, 4);
  });
});

const squaredNorm = (x: ArrayLike<number>): number => Array.from(x).reduce((total, v) => total + v * v, 0);
