/** Error curves that were measured before: from memory, or from the JSON file of a run that measured them. */
import { InputError, isObject } from "../../array/input-error.ts";
import { readJson } from "../../storage/read.ts";
import { branchKinds } from "./cached-blocks.ts";
import { agesAt, type CacheCurves } from "./error-curves.ts";

type Json = Readonly<Record<string, unknown>>;

/** What curves must have been measured with to mean something here. */
export type Wanted = Omit<CacheCurves["measured"], "images">;

/**
 * The curves, found to fit. A file holds them alone, or as `cache.curves` beside all else that a run notes of itself, as
 * `samples.json` does.
 * @throws InputError for a file that has none, or curves of other settings.
 */
export function givenCurves(source: CacheCurves | string, wanted: Wanted): CacheCurves {
  const where = typeof source === "string" ? source : "the curves that were given";
  const found = typeof source === "string" ? curvesWithin(readJson(source)) : source;
  const measured = objectOf(found?.measured);
  if (!found || !measured || !objectOf(found.errors)) {
    throw new InputError(
      `caching: expected error curves in ${where}, found none; give the samples.json of a run with --cache`,
    );
  }
  for (const [key, want] of Object.entries(wanted)) {
    const difference = differenceOf(key, measured[key], want);
    if (difference) {
      throw new InputError(
        `caching: ${where} was measured with ${difference}; sample without --cache-curves to measure again`,
      );
    }
  }
  const curves = found as unknown as CacheCurves;
  checkErrors(curves, wanted, where);
  return curves;
}

const objectOf = (json: unknown): Json | undefined => (isObject(json) ? json : undefined);

/** The object with `errors`, wherever a run's notes have it. */
function curvesWithin(json: unknown): Json | undefined {
  const file = objectOf(json);
  const notes = objectOf(file?.derived) ?? file;
  return objectOf(objectOf(notes?.cache)?.curves) ?? file;
}

/** `steps "25", not "50"`, of the first field that differs. */
function differenceOf(name: string, found: unknown, wanted: unknown): string | undefined {
  const [a, b] = [objectOf(found), objectOf(wanted)];
  if (a && b) {
    for (const key of new Set([...Object.keys(b), ...Object.keys(a)])) {
      const difference = differenceOf(key, a[key], b[key]);
      if (difference) return difference;
    }
    return undefined;
  }
  const [text, want] = [JSON.stringify(found) ?? "nothing", JSON.stringify(wanted) ?? "nothing"];
  return text === want ? undefined : `${name} ${text}, not ${want}`;
}

function checkErrors({ errors }: CacheCurves, { evaluations, branches }: Wanted, where: string): void {
  for (const kind of branchKinds) {
    const length = branches[kind] > 0 ? evaluations : 0;
    const curve: unknown = errors[kind];
    const fits =
      Array.isArray(curve) &&
      curve.length === length &&
      curve.every(
        (ages: unknown, i) => Array.isArray(ages) && ages.length === agesAt(i, length) && ages.every(isError),
      );
    if (!fits) {
      throw new InputError(
        `caching: expected ${length} lists of errors of ${kind} in ${where}, found something else; measure them again`,
      );
    }
  }
}

const isError = (value: unknown): boolean => typeof value === "number" && value >= 0;
