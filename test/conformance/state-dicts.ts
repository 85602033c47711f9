/** The weight names of the original's models, as PyTorch stored them in the golden fixtures. */
import type { Model } from "../../src/models/registry.ts";
import { modelOf } from "../../src/models/registry.ts";
import { fixtureModel } from "../golden/08-sit-fixture.ts";
import { config as marConfig, weights as marWeights } from "../golden/09-mar-fixture.ts";
import { baseWeights, type DiTSettings, fixtureConfig } from "../golden/dit-fixture.ts";
import { loadFixture } from "../golden/fixture.ts";

type Weights = Readonly<Record<string, { readonly shape: readonly number[] }>>;

const dit = loadFixture<DiTSettings & { readonly depth: number; readonly weights_file: string }>("01_dit_forward");

/** A stored model and what its `state_dict` holds. */
export const stateDicts: readonly (readonly [name: string, model: Model, weights: Weights])[] = [
  [
    "DiT",
    modelOf(fixtureConfig(dit.settings, dit.settings.depth)),
    baseWeights(dit.settings.weights_file, dit.settings.depth),
  ],
  ...[true, false].map((learnSigma) => {
    const { config, weights } = fixtureModel(learnSigma);
    return [`SiT with learnSigma ${learnSigma}`, modelOf(config), weights] as const;
  }),
  ["MAR", modelOf(marConfig), marWeights],
];
