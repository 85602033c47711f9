/** The folder of results: one JSON file for each trial, written whole or not at all. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  InputError,
  jsonText,
  type Machine,
  machineNow,
  readSealed,
  removeTemporaries,
  sealed,
  writeAtomically,
} from "tinyfusion";
import { differingSettings, type Find, type Settings, settingsSha256, type Trial } from "./trial.ts";

/** The content of a trial's file. All but times, machine and versions follows from the settings. `arm` is the variant. */
export interface StoredTrial<R = unknown> {
  readonly study: string;
  readonly arm: string;
  readonly seed: number;
  /** Of the settings here and of all trials that were needed. */
  readonly settingsSha256: string;
  readonly settings: Settings;
  readonly result: R;
  /** From start to end, in this trial alone. */
  readonly seconds: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
}

export class Results {
  readonly path: string;
  readonly #known = new Map<string, StoredTrial>();

  constructor(path: string) {
    this.path = path;
  }

  /**
   * What a trial's file holds; undefined if there is none.
   * @throws InputError for a file of other settings, naming them, or of another content.
   */
  find<R>(trial: Trial<R>): StoredTrial<R> | undefined {
    const path = join(this.path, trial.file);
    const known = this.#known.get(trial.file);
    if (!known && !existsSync(path)) return undefined;
    const stored = (known ?? readSealed(path, "remove the file to compute it again")) as StoredTrial<R> | null;
    requireSame(path, trial, stored);
    this.#known.set(trial.file, stored!);
    return stored!;
  }

  /** A trial's result alone; undefined if it is not there. */
  readonly result: Find = (trial) => this.find(trial)?.result;

  /** Writes a trial's file. */
  async write<R>(trial: Trial<R>, result: R, more: Pick<StoredTrial, "seconds" | "versions"> & { threads: number }) {
    const { study, variant, seed, settings } = trial;
    const { threads, seconds, versions } = more;
    const stored: StoredTrial<R> = {
      study,
      arm: variant,
      seed,
      settingsSha256: settingsSha256(trial),
      settings,
      result,
      seconds,
      machine: machineNow(threads),
      versions,
    };
    await writeAtomically(join(this.path, trial.file), jsonText(sealed(stored)));
    this.#known.set(trial.file, JSON.parse(JSON.stringify(stored)) as StoredTrial);
  }

  /** Removes what an interrupted write left of a trial. Only for the holder of its lock. */
  tidy({ file }: Trial): void {
    const path = join(this.path, file);
    if (existsSync(dirname(path))) removeTemporaries(dirname(path), basename(path));
  }
}

function requireSame(path: string, trial: Trial, stored: Partial<StoredTrial> | null): void {
  const { study, arm, seed, result } = stored ?? {};
  if (study !== trial.study || arm !== trial.variant || seed !== trial.seed || result === undefined) {
    throw new InputError(
      `${path}: expected the trial ${trial.study}, ${trial.variant}, seed ${trial.seed}, found another content; remove the file`,
    );
  }
  if (stored!.settingsSha256 === settingsSha256(trial)) return;
  const names = differingSettings(trial.settings, stored!.settings ?? {});
  const what = names.length > 0 ? names.join(", ") : "settings of trials that it needs";
  throw new InputError(
    `${path}: expected a trial with the settings of this command, found another ${what}; choose another --out, or remove the file to compute it again`,
  );
}
