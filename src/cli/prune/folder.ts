/** The run folder of a pruning that is not resumed: written as a whole, or left as it was. */
import { join } from "node:path";
import { remove } from "../../storage/atomic-write.ts";
import { exists } from "../../storage/read.ts";
import { RunFolder } from "../../training/run-folder.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import type { CommandContext } from "../command.ts";
import { repeatable } from "../run-task.ts";
import { versions } from "../version.ts";

/** What is pruned, and by what: all of it must be the same for the folder to be written again. */
export interface Claim {
  readonly command: string;
  /** Options that decide on the result. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly parent: Pick<ModelFile, "sha256">;
  /** The images that something was measured on, if it was. */
  readonly data?: { readonly sha256: string } | undefined;
}

function configOf({ command, values, parent, data }: Claim): Record<string, unknown> {
  const { threads, ...settings } = repeatable(values);
  return {
    command,
    ...settings,
    ...(data && { threads, dataSha256: data.sha256 }),
    parent: parent.sha256,
    versions: versions(),
  };
}

/**
 * Chooses and writes in `out`. Where nothing comes of it, a new folder goes again, and one that was empty is not claimed.
 * Returns the exit code, which is that of `work`.
 * @throws InputError for a folder in use, or one of other settings.
 */
export async function inPruneFolder(
  out: string,
  claim: Claim,
  { note }: CommandContext,
  work: (folder: RunFolder) => Promise<number>,
): Promise<number> {
  const [isNew, isUnclaimed] = [!exists(out), !exists(join(out, "config.json"))];
  const folder = RunFolder.open(out);
  let isDone = false;
  try {
    for (const warning of await folder.claim(configOf(claim))) {
      note(`repeated with another setting, so equal only to about 1e-5: ${warning}`);
    }
    const code = await work(folder);
    isDone = code === 0;
    return code;
  } finally {
    folder.close();
    if (!isDone && isNew) remove(out);
    else if (!isDone && isUnclaimed) remove(join(out, "config.json"));
  }
}
