/** Study (j): the same question on other pictures, Fashion-MNIST, with a teacher and a classifier of their own. */
import { fashionSubject } from "../pipeline/fashion.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { threeArms, threeArmsText } from "./three-arms.ts";

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
      const judged =
        accuracy === undefined ? "" : ` The classifier gets ${(100 * accuracy).toFixed(1)}% of the test images right.`;
      return {
        answer: `${threeArmsText("Fashion-MNIST", arms, find)}${judged} ${troubleText(arms, find)}`.trim(),
        drawings: [recoveredBars("distances", "Fashion-MNIST: half of the blocks", arms, find, "learned")],
        sections: [
          recoveredSection("All arms", arms, find, "learned"),
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
