/** Pieces of the schemas that configurations of models are checked by. */
import { z } from "zod";
import { InputError } from "../array/input-error.ts";

/** A size. The upper limits keep a hostile configuration from being traced forever. */
export const positive = z.int().positive().max(1_000_000);
/** Blocks of a stack. */
export const stackDepth = z.int().nonnegative().max(1024);

/** The value that a schema makes of JSON. @throws InputError naming each field that is wrong. */
export function checkedJson<T>(
  schema: { safeParse(json: unknown): z.ZodSafeParseResult<T> },
  json: unknown,
  where: string,
): T {
  const { success, data, error } = schema.safeParse(json);
  if (success) return data;
  const problems = error.issues.map((issue) => `${issue.path.join(".") || "it"}: ${issue.message}`);
  throw new InputError(`${where}: ${problems.join("; ")}`);
}
