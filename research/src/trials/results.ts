/** The folder of results: one JSON file for each cell, written whole or not at all. */
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
import { type Cell, differingSettings, type Find, type Settings, settingsSha256 } from "./trial.ts";

/** The content of a cell's file. All but times, machine and versions follows from the settings. */
export interface StoredCell<R = unknown> {
  readonly study: string;
  readonly arm: string;
  readonly seed: number;
  /** Of the settings here and of all cells that were needed. */
  readonly settingsSha256: string;
  readonly settings: Settings;
  readonly result: R;
  /** From start to end, in this cell alone. */
  readonly seconds: number;
  readonly machine: Machine;
  readonly versions: Readonly<Record<string, string>>;
}

export class Evidence {
  readonly path: string;
  readonly #known = new Map<string, StoredCell>();

  constructor(path: string) {
    this.path = path;
  }

  /**
   * What a cell's file holds; undefined if there is none.
   * @throws InputError for a file of other settings, naming them, or of another content.
   */
  find<R>(cell: Cell<R>): StoredCell<R> | undefined {
    const path = join(this.path, cell.file);
    const known = this.#known.get(cell.file);
    if (!known && !existsSync(path)) return undefined;
    const stored = (known ?? readSealed(path, "remove the file to compute it again")) as StoredCell<R> | null;
    requireSame(path, cell, stored);
    this.#known.set(cell.file, stored!);
    return stored!;
  }

  /** A cell's result alone; undefined if it is not there. */
  readonly result: Find = (cell) => this.find(cell)?.result;

  /** Writes a cell's file. */
  async write<R>(cell: Cell<R>, result: R, more: Pick<StoredCell, "seconds" | "versions"> & { threads: number }) {
    const { study, arm, seed, settings } = cell;
    const { threads, seconds, versions } = more;
    const stored: StoredCell<R> = {
      study,
      arm,
      seed,
      settingsSha256: settingsSha256(cell),
      settings,
      result,
      seconds,
      machine: machineNow(threads),
      versions,
    };
    await writeAtomically(join(this.path, cell.file), jsonText(sealed(stored)));
    this.#known.set(cell.file, JSON.parse(JSON.stringify(stored)) as StoredCell);
  }

  /** Removes what an interrupted write left of a cell. Only for the holder of its lock. */
  tidy({ file }: Cell): void {
    const path = join(this.path, file);
    if (existsSync(dirname(path))) removeTemporaries(dirname(path), basename(path));
  }
}

function requireSame(path: string, cell: Cell, stored: Partial<StoredCell> | null): void {
  const { study, arm, seed, result } = stored ?? {};
  if (study !== cell.study || arm !== cell.arm || seed !== cell.seed || result === undefined) {
    throw new InputError(
      `${path}: expected the cell ${cell.study}, ${cell.arm}, seed ${cell.seed}, found another content; remove the file`,
    );
  }
  if (stored!.settingsSha256 === settingsSha256(cell)) return;
  const names = differingSettings(cell.settings, stored!.settings ?? {});
  const what = names.length > 0 ? names.join(", ") : "settings of cells that it needs";
  throw new InputError(
    `${path}: expected a cell with the settings of this command, found another ${what}; choose another --out, or remove the file to compute it again`,
  );
}
