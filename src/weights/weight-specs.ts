/** Which weights a model has, and how those of a file differ from them. */
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import type { Model } from "../models/registry.ts";
import { Params, type WeightSpec } from "../nn/params.ts";

/** The names, shapes and starting values of all weights, by tracing the model once. */
export function weightSpecs({ family, config }: Model): WeightSpec[] {
  const p = new Params();
  family.trace(p, config);
  return p.specs();
}

/** A weight as a file lists it. */
export type FoundWeight = Pick<NDArray, "shape" | "dtype">;

/** Compares names and shapes. @throws InputError listing the differences together. */
export function checkWeights(
  specs: readonly WeightSpec[],
  found: ReadonlyMap<string, FoundWeight>,
  where: string,
): void {
  const problem = misfit(specs, found, where);
  if (problem !== null) throw new InputError(problem);
}

/** Why the weights are not those of the model, or null. */
export function misfit(
  specs: readonly WeightSpec[],
  found: ReadonlyMap<string, FoundWeight>,
  where: string,
): string | null {
  const problems = differences(specs, found);
  return problems.length > 0 ? `${where} does not fit the model: ${problems.join("; ")}` : null;
}

/** Whether names, shapes and kinds of numbers are those of the model. */
export function fitsWeights(specs: readonly WeightSpec[], found: ReadonlyMap<string, FoundWeight>): boolean {
  return specs.length === found.size && differences(specs, found).length === 0;
}

function differences(specs: readonly WeightSpec[], found: ReadonlyMap<string, FoundWeight>): string[] {
  const expected = new Map(specs.map(({ name, shape }) => [name, shape]));
  const missing = specs.filter(({ name }) => !found.has(name)).map(({ name, shape }) => `${name} [${shape}]`);
  const unexpected = [...found].filter(([name]) => !expected.has(name)).map(([name, x]) => `${name} [${x.shape}]`);
  const misshaped = [...found].flatMap(([name, x]) => {
    const shape = expected.get(name);
    if (shape && String(shape) !== String(x.shape)) return [`${name} expects [${shape}], file has [${x.shape}]`];
    return !shape || /float/.test(x.dtype) ? [] : [`${name} expects floating-point numbers, file has ${x.dtype}`];
  });
  return [
    ...(missing.length > 0 ? [`missing ${listed(missing)}`] : []),
    ...(unexpected.length > 0 ? [`unexpected ${listed(unexpected)}`] : []),
    ...(misshaped.length > 0 ? [`misshaped ${listed(misshaped)}`] : []),
  ];
}

/** Another model differs in every weight: a sentence names the first ones of each kind. */
const mostListed = 12;

function listed(items: readonly string[]): string {
  const more = items.length > mostListed ? ` and ${items.length - mostListed} more` : "";
  return `(${items.length}): ${items.slice(0, mostListed).join(", ")}${more}`;
}
