/** Input that a user can mend: the error for a bad file, option or folder, and checks of values from outside. */

/** Thrown with operation, expected, found and where; the CLI prints `message` without a stack and exits with 1. */
export class InputError extends Error {
  override readonly name = "InputError";
}

/** Whether a value is an object with fields, not a list. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a value is a length or position: an exact integer from 0 on. */
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** A value for a message, cut to a readable length; it may be nested deeper than `JSON.stringify` can go. */
export function quote(value: unknown): string {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(quoteSimple)}${value.length > 8 ? ",…" : ""}]`;
  return quoteSimple(value);
}

function quoteSimple(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "[…]" : "{…}";
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : String(value);
  return typeof value === "string" && value.length > 100 ? `${text}…` : text;
}
