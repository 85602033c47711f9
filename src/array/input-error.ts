/** The error for problems a user can mend: a bad file, option or folder, in one sentence. */

/** Thrown with operation, expected, found and where; the CLI prints `message` without a stack and exits with 1. */
export class InputError extends Error {
  override readonly name = "InputError";
}
