/** Gumbel-softmax masks, the masked forward pass and the gates' gradients against the original, dense and routed. */
import { describe, expect, it } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { decide, gateGroups } from "../../src/pruning/draw-mask.ts";
import { parseGroups } from "../../src/pruning/groups.ts";
import { denseExecution, routedExecution } from "../../src/pruning/mask-execution.ts";
import { baseWeights, type DiTSettings, fixtureConfig } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import { batchFeeds, gateRows, maskStep } from "./mask-step.ts";
import { groupFloor } from "./matchers.ts";

interface Case {
  readonly case: number;
  readonly groups: readonly (readonly [number, number])[];
  readonly depth: number;
  readonly combos: readonly { readonly combo: number; readonly tau: number; readonly scaling: number }[];
}

interface Settings extends DiTSettings {
  readonly weights_file: string;
  readonly cases: readonly Case[];
}

const fixture = loadFixture<Settings, Record<string, unknown>>("04a_mask_forward");
const { settings, expected, tensor } = fixture;
const runs = atLeastOne(
  settings.cases.flatMap((c) =>
    c.combos.map((combo) => ({ ...c, ...combo, name: `case${c.case}/combo${combo.combo}` })),
  ),
  "mask cases",
);

const groupsOf = ({ groups, depth }: Case) =>
  gateGroups(parseGroups(groups.map(([keep, size]) => `${keep}:${size}`).join(","), depth));

describe("masks of one step", () => {
  it.each(atLeastOne(settings.cases, "cases"))("case $case: patterns, decision and confidence", (c) => {
    const groups = groupsOf(c);
    groups.forEach(({ patterns, size }, g) => {
      const flags = patterns.flatMap((kept) => Array.from({ length: size }, (_, i) => (kept.includes(i) ? 1 : 0)));
      expect(float32(flags, [patterns.length, size])).toMatchGolden(tensor(`case${c.case}/options.${g}`), {
        relative: 0,
      });
    });
    const gates = gateRows(fixture, `case${c.case}/gumbel_gates.`, groups)[0]!;
    const decision = decide(groups, gates, 100);
    expect(decision.kept).toEqual(expected[`case${c.case}/decision_scaling100`]);
    const confidence = expected[`case${c.case}/confidence_scaling100`] as number[];
    decision.confidence.forEach((p, g) => {
      expect(p).toBeCloseTo(confidence[g]!, 4);
    });
  });

  describe.each(["dense", "routed"] as const)("%s", (kind) => {
    it.each(runs)("$name: masks, output, losses and gate gradients", async (run) => {
      const groups = groupsOf(run);
      const prefix = `case${run.case}/`;
      const gumbel = gateRows(fixture, `${run.name}/gumbel.`, groups);
      const execution = kind === "dense" ? denseExecution(gumbel.length, run.depth) : routedExecution();
      const { results, draws, gateGradient } = await maskStep(execution, {
        config: fixtureConfig(settings, run.depth),
        groups,
        gates: gateRows(fixture, `${prefix}gumbel_gates.`, groups)[0]!,
        gumbel,
        temperature: { tau: run.tau, scale: run.scaling },
        feeds: batchFeeds(fixture, prefix, settings.num_classes),
        weights: baseWeights(settings.weights_file, run.depth),
      });
      groups.forEach(({ offset, patterns, start, size }, g) => {
        const count = patterns.length;
        const hard = draws.map(({ chosen }) => patterns.map((_, o) => (chosen[g] === o ? 1 : 0)));
        const soft = draws.flatMap((draw) => [...draw.soft.subarray(offset, offset + count)]);
        const mask = draws.flatMap((draw) => [...draw.mask.subarray(start, start + size)]);
        const key = (name: string) => tensor(`${run.name}/${name}.${g}`);
        expect(draws.map(({ chosen }) => chosen[g])).toEqual([...(key("index").data as Int32Array)]);
        expect(float32(soft, [draws.length, count])).toMatchGolden(key("y_soft"), { relative: 1e-5 });
        expect(float32(hard.flat(), [draws.length, count])).toMatchGolden(key("y_st"), { relative: 1e-6 });
        expect(float32(mask, [draws.length, size])).toMatchGolden(key("mask"), { relative: 1e-6 });
      });
      const kept = draws.map(({ mask }) => [...mask.keys()].filter((i) => mask[i] === 1));
      expect(kept).toEqual(expected[`${run.name}/kept_layers_per_sample`]);
      expect(results.output).toMatchGolden(tensor(`${run.name}/output`), { relative: 1e-5 });
      for (const [ours, theirs] of [
        ["perSample", "loss"],
        ["mse", "mse"],
        ["vb", "vb"],
      ] as const) {
        expect(results[ours], theirs).toMatchGolden(tensor(`${run.name}/${theirs}`), { relative: 1e-4 });
      }
      const wanted = groups.map((_, g) => tensor(`${run.name}/grad/gumbel_gates.${g}`));
      const floor = groupFloor(wanted);
      groups.forEach(({ offset, patterns }, g) => {
        const found = float32(gateGradient.subarray(offset, offset + patterns.length), [1, patterns.length]);
        expect(found, `gates ${g}`).toMatchGolden(wanted[g]!, { relative: 1e-3, floor });
      });
    });
  });
});
