/** The tensors in nested values of a pickle, by the path to each; however the values hold each other, the walk ends. */
import { InputError } from "../../array/input-error.ts";
import { PickledTensor, type PickleValue } from "./pickle-values.ts";

/** What a value holds, by name. */
export type Entries = Iterable<readonly [name: unknown, value: PickleValue]>;

const mostValues = 200_000; // an optimizer has a few for each weight
const longestName = 1000; // which ends nesting too: each level adds to the name

/**
 * All tensors in `root`, in the order of the file, their names joined by dots: `state.1.exp_avg`, `layers.conv.weight`.
 * `entriesOf` says what is looked into.
 * @throws InputError about `what` if its nesting has no end.
 */
export function nestedTensors(
  root: PickleValue,
  entriesOf: (value: PickleValue) => Entries | undefined,
  what: string,
): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  let visited = 0;
  const visit = (value: PickleValue, path: string): void => {
    visited++;
    if (visited > mostValues || path.length > longestName) {
      throw new InputError(`${what} is nested too deeply or holds too much; refused`);
    }
    if (value instanceof PickledTensor) tensors.set(path.slice(0, -1), value);
    else for (const [key, inner] of entriesOf(value) ?? []) visit(inner, `${path}${textOf(key)}.`);
  };
  visit(root, "");
  return tensors;
}

/** A key as part of a name; one that is a tuple or an object may hold anything. */
const textOf = (key: unknown): string => (typeof key === "object" && key !== null ? "?" : String(key));
