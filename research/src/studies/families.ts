/** Study (i): the same question for a flow (SiT) and for masked tokens (MAR). */
import { packagedBenchmark } from "../pipeline/benchmark.ts";
import { differencesSection } from "../report/differences.ts";
import { divergedSections, recoveredBars, recoveredRows, recoveredSection } from "../report/recovered-table.ts";
import type { Study, StudyOptions } from "./study.ts";
import { threeVariants } from "./variants.ts";

export function families({ budget }: StudyOptions): Study {
  const of = (["sit", "mar"] as const).map((family) => ({
    title: family === "sit" ? "SiT" : "MAR",
    variants: threeVariants("families", `${family} `, packagedBenchmark(family, budget), budget),
    family,
  }));
  const variants = of.flatMap((one) => one.variants);
  return {
    name: "families",
    title: "Flows and masked tokens",
    question: "Does what holds for the diffusion transformer hold for a flow (SiT) and for masked tokens (MAR)?",
    variants: () => variants,
    report: (find) => ({
      figures: of.map((one) =>
        recoveredBars(one.family, `${one.title}: half of the blocks`, one.variants, find, one.variants[0]!.name),
      ),
      sections: [
        ...of.flatMap((one) => [
          recoveredSection(one.title, one.variants, find, one.variants[0]!.name),
          differencesSection(
            one.variants[0]!,
            one.variants.slice(1, 3),
            find,
            `${one.title}: differences from learned`,
          ),
        ]),
        ...divergedSections(variants, find),
      ],
      table: recoveredRows(variants, find),
    }),
  };
}
