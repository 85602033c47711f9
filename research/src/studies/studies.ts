/** All studies, in the order in which they are worth running. */
import { activations } from "./activations.ts";
import { calibrationLoss } from "./calibration-loss.ts";
import { decisions } from "./decisions.ts";
import { distillation } from "./distillation.ts";
import { families } from "./families.ts";
import { fashion } from "./fashion.ts";
import { searchLength } from "./search-length.ts";
import type { Study, StudyOptions } from "./study.ts";
import { table1 } from "./table1.ts";
import { twoStage } from "./two-stage.ts";
import { update } from "./update.ts";

const makers = [
  table1,
  distillation,
  calibrationLoss,
  update,
  decisions,
  activations,
  twoStage,
  searchLength,
  families,
  fashion,
] as const satisfies ((options: StudyOptions) => Study)[];

/** Every study with these budgets and data. */
export const studiesOf = (options: StudyOptions): Study[] =>
  makers.map((make) => (options.budget.name === "tiny" ? saidToBeTiny(make(options)) : make(options)));

/** A study whose report begins with a warning. */
const saidToBeTiny = (study: Study): Study => ({
  ...study,
  report(find) {
    const report = study.report(find);
    const warning = { kind: "text", text: "Tiny budget: no number here means anything." } as const;
    return { ...report, sections: [warning, ...report.sections] };
  },
});
