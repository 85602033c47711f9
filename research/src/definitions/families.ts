/** Study (i): the same question for a flow (SiT) and for masked tokens (MAR). */
import { packagedSubject } from "../pipeline/subject.ts";
import { recoveredBars, recoveredRows, recoveredSection, troubleText } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { threeArms, threeArmsText } from "./three-arms.ts";

export function families({ budget }: StudyOptions): Study {
  const of = (["sit", "mar"] as const).map((family) => ({
    title: family === "sit" ? "SiT" : "MAR",
    arms: threeArms("families", `${family} `, packagedSubject(family, budget), budget),
    family,
  }));
  const arms = of.flatMap((one) => one.arms);
  return {
    name: "families",
    title: "Flows and masked tokens",
    question: "Does what holds for the diffusion transformer hold for a flow (SiT) and for masked tokens (MAR)?",
    arms: () => arms,
    report: (find) => ({
      answer: [...of.map((one) => threeArmsText(one.title, one.arms, find)), troubleText(arms, find)].join(" ").trim(),
      drawings: of.map((one) =>
        recoveredBars(one.family, `${one.title}: half of the blocks`, one.arms, find, one.arms[0]!.name),
      ),
      sections: of.map((one) => recoveredSection(one.title, one.arms, find, one.arms[0]!.name)),
      table: recoveredRows(arms, find),
    }),
  };
}
