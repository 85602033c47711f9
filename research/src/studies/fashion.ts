/** Study (j): the same question on other pictures, Fashion-MNIST, with a teacher and a classifier of their own. */
import { fashionSubject } from "../pipeline/fashion.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { threeArms } from "./variants.ts";

export function fashion({ budget, fashion: folder }: StudyOptions): Study {
  const spec = fashionSubject(budget, folder);
  const arms = threeArms("fashion", "", spec, budget);
  const { classifier, teacher } = spec;
  return {
    name: "fashion",
    title: "Fashion-MNIST",
    question:
      "Does what holds for digits hold for clothes? Teacher and classifier are trained on Fashion-MNIST first, the teacher from the " +
      "digits' weights.",
    arms: () => [
      { name: "trained-classifier", cells: [classifier] },
      { name: "trained-teacher", cells: [teacher] },
      ...arms,
    ],
    report(find) {
      const accuracy = find(classifier)?.accuracy;
      return {
        drawings: [recoveredBars("distances", "Fashion-MNIST: half of the blocks", arms, find, "learned")],
        sections: [
          recoveredSection("All variants", arms, find, "learned"),
          differencesSection(arms[0]!, arms.slice(1, 3), find),
          ...divergedSections(arms, find),
          {
            heading: "The classifier trained here",
            kind: "table",
            columns: ["accuracy on test images, %"],
            rows: accuracy === undefined ? [] : [[(100 * accuracy).toFixed(1)]],
          },
          {
            kind: "text",
            text: "FD-digits is computed here on the features of a classifier of clothes: its numbers cannot be compared with those of digits.",
          },
        ],
        table: recoveredRows(arms, find),
      };
    },
  };
}
