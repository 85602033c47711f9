/** The DiT's forward pass and its guidance against the original. */
import { describe, expect, it } from "vitest";
import { add, input } from "../../src/graph/build.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { dit, embedLabel, embedPatches, finalLayer, positions } from "../../src/models/dit/dit.ts";
import { embedTimestep, timestepFrequencies } from "../../src/nn/embeddings.ts";
import { Params } from "../../src/nn/params.ts";
import { captureOutputs } from "../../src/nn/run-block.ts";
import { guided } from "./both-halves.ts";
import { baseWeights, type DiTSettings, fixtureConfig, runOnce } from "./dit-fixture.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import { groupFloor } from "./matchers.ts";

interface Settings extends DiTSettings {
  readonly depth: number;
  readonly weights_file: string;
  readonly cfg_scale: number;
  readonly cfg_channels: number;
}

const fixture = loadFixture<Settings>("01_dit_forward");
const { settings, tensor, names } = fixture;
const config = fixtureConfig(settings, settings.depth);
const weights = baseWeights(settings.weights_file, settings.depth);

function inputsLike(prefix: string) {
  const x = tensor(`${prefix}x`);
  const feeds = { x, t: tensor(`${prefix}t`), y: tensor(`${prefix}y`) };
  const tensors = { x: input("x", x.shape), t: input("t", feeds.t.shape), y: input("y", feeds.y.shape, "int32") };
  return { feeds: { ...feeds, ...weights }, tensors };
}

describe("the DiT forward pass", () => {
  it("agrees with the original in every embedding, hidden state and output", async () => {
    const { feeds, tensors } = inputsLike("");
    const p = new Params();
    const hidden = new Map<number, Tensor>();
    const output = dit(p, config, tensors, captureOutputs(hidden));
    const tEmb = embedTimestep(p.at("t_embedder"), tensors.t, config.hiddenSize);
    const yEmb = embedLabel(p.at("y_embedder"), config, tensors.y);
    const c = add(tEmb, yEmb);
    const xEmbed = embedPatches(p.at("x_embedder"), config, tensors.x);
    const outputs: Record<string, Tensor> = {
      x_embed: xEmbed,
      t_freq: timestepFrequencies(tensors.t),
      t_emb: tEmb,
      y_emb: yEmb,
      c,
      tokens_in: add(xEmbed, positions(p, config)),
      final_tokens: finalLayer(p.at("final_layer"), config, hidden.get(config.depth - 1)!, c),
      output,
    };
    for (const [index, h] of hidden) outputs[`hidden.${index}`] = h;
    const results = await runOnce({ outputs }, feeds);
    const expected = atLeastOne(
      names.filter((name) => !name.startsWith("cfg/") && !(name in tensors)),
      "forward tensors",
    );
    const floor = groupFloor(expected.map(tensor));
    // The last bit of exp() differs between libraries, and t multiplies it before the cosine.
    const angleRounding = Math.max(...(tensor("t").data.values() as Iterable<number>)) * 2 ** -24;
    for (const name of expected) {
      const relative = name === "t_freq" ? Math.max(1e-5, angleRounding) : 1e-5;
      expect(results[name], name).toMatchGolden(tensor(name), { relative, floor });
    }
  });

  it("declares exactly the weights of the original's state_dict", () => {
    const p = new Params();
    dit(p, config, inputsLike("").tensors);
    const declared = p.specs().map(({ name, shape }) => `${name} [${shape}]`);
    expect(declared.sort()).toEqual(
      Object.entries(weights)
        .map(([name, { shape }]) => `${name} [${shape}]`)
        .sort(),
    );
  });

  const cases = atLeastOne(
    names.filter((name) => name.startsWith("cfg/output")),
    "guidance cases",
  );
  it.each(cases)("%s: guides the first channels only, as the original does", async (name) => {
    const { feeds, tensors } = inputsLike("cfg/");
    const scale = name.includes("_") ? Number(name.split("_")[1]) : settings.cfg_scale;
    const p = new Params();
    // The original ignores the second half of the images and runs the first half under both labels.
    const half = (tensors.x.shape[0] as number) / 2;
    const output = guided((io) => dit(p, config, io), { ...tensors, scale, channels: settings.cfg_channels, half });
    const results = await runOnce({ outputs: { output } }, feeds);
    expect(results.output).toMatchGolden(tensor(name), { relative: 1e-5 });
  });
});
