/** Study (j): the same question on other images, Fashion-MNIST, with a teacher and a classifier of their own. */
import { fashionBenchmark } from "../pipeline/fashion.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { threeVariants } from "./variants.ts";

/** The Fréchet distance of the features of the classifier that is trained here. */
const DISTANCE = "FD-classifier";

export function fashion({ budget, fashion: folder }: StudyOptions): Study {
  const benchmark = fashionBenchmark(budget, folder);
  const variants = threeVariants("fashion", "", benchmark, budget);
  const { classifier, teacher } = benchmark;
  return {
    name: "fashion",
    title: "Fashion-MNIST",
    question:
      "Does what holds for digits hold for clothes? Teacher and classifier are trained on Fashion-MNIST first, the teacher from the " +
      "digits' weights.",
    variants: () => [
      { name: "trained-classifier", trials: [classifier] },
      { name: "trained-teacher", trials: [teacher] },
      ...variants,
    ],
    report(find) {
      const accuracy = find(classifier)?.accuracy;
      return {
        figures: [recoveredBars("distances", "Fashion-MNIST: half of the blocks", variants, find, "learned", DISTANCE)],
        sections: [
          recoveredSection("All variants", variants, find, "learned", DISTANCE),
          differencesSection(variants[0]!, variants.slice(1, 3), find),
          ...divergedSections(variants, find),
          {
            heading: "The classifier trained here",
            kind: "table",
            columns: ["accuracy on test images, %"],
            rows: accuracy === undefined ? [] : [[(100 * accuracy).toFixed(1)]],
          },
          {
            kind: "text",
            text: `${DISTANCE} is the Fréchet distance of features of the classifier of clothes: do not compare it with FD-digits.`,
          },
        ],
        table: recoveredRows(variants, find),
      };
    },
  };
}
