/** Progress of looking at images, which takes the longest of an evaluation. */
import type { CommandContext } from "../command.ts";
import { pacedLines } from "../progress.ts";

/** Told how many of the images have features, and how many of those were not stored before. */
export type Looked = (done: number, fresh: number, of: number) => void;

/** Tells how far one look at a set is; stored features take no time. */
export function lookingProgress({ progress }: Pick<CommandContext, "progress">): Looked {
  const started = performance.now();
  const isDue = pacedLines();
  return (done, fresh, of) => {
    if (!isDue()) return;
    const pace = (1000 * fresh) / (performance.now() - started);
    const secondsLeft = fresh > 0 ? (of - done) / pace : Number.NaN;
    progress({ step: done, steps: of, images: done, secondsLeft, line: { "images/s": pace } });
  };
}
