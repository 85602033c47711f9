/** Progress of looking at images, which takes the longest of an evaluation. */
import type { CommandContext } from "../command.ts";

/** Told how many of the images have features, and how many of those were not stored before. */
export type Looked = (done: number, fresh: number, of: number) => void;

/** Lines of progress where they cannot be rewritten come this many seconds apart. */
const BETWEEN_LINES = 10;

/** Tells how far one look at a set is; stored features take no time. */
export function lookingProgress({ progress }: Pick<CommandContext, "progress">): Looked {
  const started = performance.now();
  let shown = 0;
  return (done, fresh, of) => {
    const seconds = (performance.now() - started) / 1000;
    if (!process.stderr.isTTY && seconds - shown < BETWEEN_LINES) return;
    shown = seconds;
    const pace = fresh / seconds;
    const secondsLeft = fresh > 0 ? (of - done) / pace : Number.NaN;
    progress({ step: done, steps: of, images: done, secondsLeft, line: { "images/s": pace } });
  };
}
