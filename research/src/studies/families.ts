/** Study (i): the same question for a flow (SiT) and for masked tokens (MAR). */
import { packagedSubject } from "../pipeline/benchmark.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { threeArms } from "./variants.ts";

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
      drawings: of.map((one) =>
        recoveredBars(one.family, `${one.title}: half of the blocks`, one.arms, find, one.arms[0]!.name),
      ),
      sections: [
        ...of.flatMap((one) => [
          recoveredSection(one.title, one.arms, find, one.arms[0]!.name),
          differencesSection(one.arms[0]!, one.arms.slice(1, 3), find, `${one.title}: differences from learned`),
        ]),
        ...divergedSections(arms, find),
      ],
      table: recoveredRows(arms, find),
    }),
  };
}
