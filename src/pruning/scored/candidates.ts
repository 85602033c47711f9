/** `random-median` and `min-loss`: many random masks, and the one in the middle or the best by calibration loss. */
import { randomMask } from "../fixed/random.ts";
import type { Group } from "../groups.ts";
import type { MaskLoss, MeasuringPruner, PrunerSettings } from "./pruner.ts";
import { comparable, type LossOf, requireFinite, withLosses } from "./with-losses.ts";

/**
 * TinyFusion (arXiv 2412.01199) draws random masks, sorts them by calibration loss and fine-tunes some: the one in the
 * middle came close to a learned mask (FID 6.45). Of an even number the lower of the two in the middle is taken.
 */
export const randomMedian: MeasuringPruner = picking("of --candidates random masks the one of median loss", inMiddle);

/** The smallest loss of all candidates: in that comparison the one that recovered worst (FID 20.69). */
export const minLoss: MeasuringPruner = picking("of --candidates random masks the one of smallest loss", () => 0);

/** The place in the middle of a sorted list, the lower one of two. */
export function inMiddle(count: number): number {
  return Math.floor((count - 1) / 2);
}

function picking(summary: string, place: (count: number) => number): MeasuringPruner {
  return {
    needs: "calibration",
    summary,
    passes: ({ settings }) => settings.candidates,
    choose: (context) =>
      withLosses(context, async (lossOf) => {
        const losses = await candidateLosses(context, lossOf);
        return { kept: pick(losses, place).kept, losses };
      }),
  };
}

/** The random masks of the seed with their losses, in the order of drawing; a mask that is drawn again is not run again. */
export async function candidateLosses(
  {
    groups,
    settings: { seed, candidates },
  }: {
    readonly groups: readonly Group[];
    readonly settings: Pick<PrunerSettings, "seed" | "candidates">;
  },
  lossOf: LossOf,
): Promise<MaskLoss[]> {
  const known = new Map<string, number>();
  const losses: MaskLoss[] = [];
  for (let i = 0; i < candidates; i++) {
    const kept = randomMask(groups, seed, i);
    const loss = known.get(kept.join()) ?? (await lossOf(kept));
    known.set(kept.join(), loss);
    losses.push({ kept, loss });
  }
  return losses;
}

/**
 * The mask at a place of the list sorted by loss; of equal losses the first drawn comes first.
 * @throws InputError if its loss is not finite.
 */
export function pick(losses: readonly MaskLoss[], place: (count: number) => number): MaskLoss {
  const sorted = [...losses].sort((a, b) => {
    const [one, other] = [comparable(a.loss), comparable(b.loss)];
    return one === other ? 0 : one - other;
  });
  return requireFinite(sorted[place(losses.length)]!);
}
