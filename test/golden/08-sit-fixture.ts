/** The SiT of fixture 08 in both forms, and the names that the original gives to paths and predictions. */
import type { NDArray } from "../../src/array/ndarray.ts";
import type { Predictor } from "../../src/diffusion/predictor.ts";
import { type SiTConfig, sit, sitConfigSchema } from "../../src/models/sit.ts";
import { Params } from "../../src/nn/params.ts";
import { type DiTSettings, fixtureConfig } from "./dit-fixture.ts";
import { loadFixture } from "./fixture.ts";
import "./matchers.ts";

export interface OdeRun {
  readonly t0: number;
  readonly t1: number;
  readonly num_steps: number;
}

export interface SdeRun extends OdeRun {
  readonly form: string;
  readonly norm: number;
  readonly last_step: string;
  readonly last_step_size: number;
}

interface Settings extends DiTSettings {
  readonly depth: number;
  readonly cfg_scale: number;
  readonly cfg_channels: number;
  readonly runs: Readonly<Record<string, OdeRun | SdeRun>>;
}

export const fixture = loadFixture<Settings, Record<string, unknown>>("08_sit");
const { settings, tensor, names } = fixture;

/** A model under test: its configuration, its weights and the function, whose weights `p` holds. */
export interface FixtureModel {
  readonly config: SiTConfig;
  readonly weights: Readonly<Record<string, NDArray>>;
  readonly p: Params;
  readonly model: Predictor;
}

/** The model that drops half of its output, or the one that shares all but its last layer and drops nothing. */
export function fixtureModel(learnSigma: boolean): FixtureModel {
  const config = sitConfigSchema.parse({
    ...fixtureConfig({ ...settings, learn_sigma: learnSigma }, settings.depth),
    family: "sit",
  });
  const scopes = learnSigma ? ["sit/"] : ["sit/", "sit_nosigma/"];
  const weights = Object.fromEntries(
    scopes.flatMap((scope) =>
      names.filter((name) => name.startsWith(scope)).map((name) => [name.slice(scope.length), tensor(name)]),
    ),
  );
  const p = new Params();
  return { config, weights, p, model: (io) => sit(p, config, io) };
}

/** The parts of the fixture's names that are paths: Linear, GVP, VP. */
export const pathOf = (name: string) => name.toLowerCase() as "linear" | "gvp" | "vp";
