/** The error for images that cannot be read: all of them in one message, grouped by reason. */
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";

/** An image by its path below a folder, and what is wrong with it. */
export interface UnreadableImage {
  readonly name: string;
  readonly reason: string;
}

/** Names in one message; a folder may have a million. */
const mostNames = 200;

/** The error for images of a folder that cannot be used; `total` is how many there are. */
export function unreadableImages(root: string, found: readonly UnreadableImage[], total: number): InputError {
  const [first] = found as [UnreadableImage];
  const path = join(root, first.name);
  if (found.length === 1)
    return new InputError(first.reason.includes(path) ? first.reason : `${path}: ${first.reason}`);
  const byReason = new Map<string, string[]>();
  for (const { name, reason } of found.slice(0, mostNames)) {
    const names = byReason.get(reason);
    if (names) names.push(name);
    else byReason.set(reason, [name]);
  }
  const each = Array.from(byReason, ([reason, names]) => `${names.join(", ")}: ${reason}`);
  const rest = found.length > mostNames ? `; and ${found.length - mostNames} more` : "";
  return new InputError(
    `${root}: ${found.length} of ${total} images cannot be used; replace or remove them: ${each.join("; ")}${rest}`,
  );
}

/** Pillow refuses larger images too. */
const mostPixels = 178_956_970;

/** @throws InputError for an image of more pixels. */
export function requirePixels(width: number, height: number): void {
  if (width * height <= mostPixels) return;
  throw new InputError(`expected at most ${mostPixels} pixels, found ${width} × ${height}; make it smaller first`);
}
