/** Parity of schedules and respacing with the original `diffusion/` package; q_sample and the posterior belong to the graph. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import {
  cosineBetas,
  linearBetas,
  respace,
  type Schedule,
  scheduleFromBetas,
  spacedTimesteps,
} from "../../src/diffusion/schedule.ts";
import { atLeastOne, loadFixture } from "./fixture.ts";
import "./matchers.ts";

interface Settings {
  readonly steps: number;
  readonly beta_start: number;
  readonly beta_end: number;
}
type Expected = Readonly<Record<string, readonly number[]>> & { readonly errors: Readonly<Record<string, string>> };

const fixture = loadFixture<Settings, Expected>("02_diffusion_schedule");
const { steps, beta_start, beta_end } = fixture.settings;
const linear = scheduleFromBetas(linearBetas(steps, beta_start, beta_end));
const cosine = scheduleFromBetas(cosineBetas(steps));
/** float64 tables; NumPy and JavaScript may differ in the last digit of cos and log */
const tolerance = { relative: 1e-12 };

/** `posterior_mean_coef1` is `posteriorMeanCoef1` here. */
function table(schedule: Schedule, upstreamName: string): Float64Array | Int32Array {
  const name = upstreamName.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  const found = schedule[name as keyof Schedule];
  if (!found) throw new Error(`a schedule has no table ${name} (${upstreamName})`);
  return found;
}

function compare(schedule: Schedule, key: string, upstreamName: string): void {
  const expected = fixture.tensor(key);
  // With one step upstream leaves the clipped log variance empty; ours is finite, because samplers look it up.
  if (expected.size === 0) expect(table(schedule, upstreamName).every(Number.isFinite)).toBe(true);
  else expect(table(schedule, upstreamName)).toMatchGolden(expected, tolerance);
}

describe("the tables of a schedule equal upstream's", () => {
  const keys = atLeastOne(
    fixture.names.filter((name) => /^(linear|cosine)\//.test(name)),
    "schedule tables",
  );
  test.each(keys)("%s", (key) => {
    const [schedule, upstreamName] = key.split("/") as [string, string];
    compare(schedule === "linear" ? linear : cosine, key, upstreamName);
  });
});

describe("the tables of a respaced schedule equal upstream's", () => {
  const keys = atLeastOne(
    fixture.names.filter((name) => name.startsWith("respaced/")),
    "respaced tables",
  );
  test.each(keys)("%s", (key) => {
    const [, spec, upstreamName] = key.split("/") as [string, string, string];
    compare(respace(linear, spec), key, upstreamName);
  });
});

describe("the timesteps kept by a respacing equal upstream's", () => {
  const keys = atLeastOne(
    Object.keys(fixture.expected).filter((key) => key.startsWith("timesteps")),
    "timestep lists",
  );
  test.each(keys)("%s", (key) => {
    const [, total, spec] = /^timesteps(?:_(\d+))?\[(.+)\]$/.exec(key) ?? [];
    expect([...spacedTimesteps(Number(total ?? steps), spec!)]).toEqual(fixture.expected[key]);
  });
});

describe("a respacing that upstream refuses is refused, with its numbers in the message", () => {
  test.each(atLeastOne(Object.entries(fixture.expected.errors), "refused respacings"))("%s: %s", (key, upstream) => {
    const [total, spec] = key.split(":") as [string, string];
    const refused = () => spacedTimesteps(Number(total), spec);
    expect(refused).toThrow(InputError);
    for (const number of upstream.match(/\d+/g)!) expect(refused).toThrow(new RegExp(`\\b${number}\\b`));
    expect(refused).toThrow(spec);
  });
});
