/** The run folder of a pruning that is not resumed: written as a whole, or left as it was. */

import { versions } from "../../tasks/version.ts";
import { RunFolder } from "../../training/run-folder.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { CommandContext } from "../command.ts";
import { locations, repeatable } from "../run-task.ts";

/** What is pruned, and by what: all of it must be the same for the folder to be written again. */
export interface PrunedFrom {
  readonly command: string;
  /** Options that decide on the result. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly parent: Pick<ModelFile, "sha256" | "model">;
  /** The images that something was measured on, if it was. */
  readonly data?: { readonly sha256: string } | undefined;
}

function configOf({ command, values, parent, data }: PrunedFrom): Record<string, unknown> {
  const { threads, ...settings } = repeatable(values);
  return {
    command,
    ...settings,
    ...(data && { threads, dataSha256: data.sha256 }),
    parent: parent.sha256,
    modelConfiguration: parent.model.config,
    versions: versions(),
  };
}

/**
 * Chooses and writes in `out`. Where nothing comes of it, a new folder goes again, and one that was empty is not acquired.
 * Returns the exit code, which is that of `work`.
 * @throws InputError for a folder in use, or one of other settings.
 */
export async function inPruneFolder(
  out: string,
  prunedFrom: PrunedFrom,
  { note }: CommandContext,
  work: (folder: RunFolder) => Promise<number>,
): Promise<number> {
  const folder = RunFolder.open(out);
  let isDone = false;
  try {
    const { warnings } = await folder.acquire(configOf(prunedFrom), { locations });
    for (const warning of warnings) {
      note(`repeated with another setting, so equal only to about 1e-5: ${warning}`);
    }
    const code = await work(folder);
    isDone = code === 0;
    return code;
  } finally {
    if (isDone) folder.close();
    else await folder.abandon(["decision.json", "widths.json", "pruned.safetensors"]);
  }
}
