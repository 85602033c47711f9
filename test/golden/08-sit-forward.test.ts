/** The SiT's forward pass and its guidance against the original. */
import { describe, expect, it } from "vitest";
import { input } from "../../src/graph/build.ts";
import { fixture, fixtureModel } from "./08-sit-fixture.ts";
import { guided } from "./both-halves.ts";
import { runOnce } from "./dit-fixture.ts";
import { atLeastOne } from "./fixture.ts";

const { settings, tensor, names } = fixture;
const variants = [
  ["learnSigma", true, ""],
  ["no learnSigma", false, "_nosigma"],
] as const;

function inputsLike(prefix: string) {
  const feeds = { x: tensor(`${prefix}x`), t: tensor(`${prefix}t`), y: tensor(`${prefix}y`) };
  const io = {
    x: input("x", feeds.x.shape),
    t: input("t", feeds.t.shape),
    y: input("y", feeds.y.shape, "int32"),
  };
  return { feeds, io };
}

describe.each(variants)("the SiT forward pass with %s", (_, learnSigma, suffix) => {
  it("agrees with the original, which drops the variance", async () => {
    const { model, weights } = fixtureModel(learnSigma);
    const { feeds, io } = inputsLike("fwd/");
    const { output } = await runOnce({ outputs: { output: model(io) } }, { ...feeds, ...weights });
    expect(output).toMatchGolden(tensor(`fwd/output${suffix}`), { relative: 1e-5 });
  });

  it("declares exactly the weights of the original's state_dict", () => {
    const { model, weights, p } = fixtureModel(learnSigma);
    model(inputsLike("fwd/").io);
    const declared = p.specs().map(({ name, shape }) => `${name} [${shape}]`);
    const stored = Object.entries(weights).map(([name, { shape }]) => `${name} [${shape}]`);
    expect(declared.sort()).toEqual(atLeastOne(stored, "weights").sort());
  });

  it("guides the first channels only, as the original does", async () => {
    const { model, weights } = fixtureModel(learnSigma);
    const { feeds, io } = inputsLike("cfg/");
    const half = feeds.x.shape[0]! / 2;
    const output = guided(model, { ...io, scale: settings.cfg_scale, channels: settings.cfg_channels, half });
    const results = await runOnce({ outputs: { output } }, { ...feeds, ...weights });
    expect(results.output).toMatchGolden(tensor(`cfg/output${suffix}`), { relative: 1e-5 });
  });
});

it("every output of the fixture is one of these", () => {
  const outputs = names.filter((name) => /^(fwd|cfg)\/output/.test(name));
  expect(outputs.sort()).toEqual(["fwd", "cfg"].flatMap((f) => variants.map(([, , s]) => `${f}/output${s}`)).sort());
});
