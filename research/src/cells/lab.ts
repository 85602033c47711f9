/** What cells are computed with: an engine, subjects that are opened once, and results of other cells. */
import type { Engine } from "tinyfusion";
import type { Subject, SubjectSpec } from "../pipeline/subject.ts";
import type { Cell } from "./cell.ts";
import type { Evidence } from "./evidence.ts";

export interface LabSettings {
  readonly engine: Engine;
  readonly threads: number;
  readonly evidence: Evidence;
  /** Folder for large things that can be computed again. */
  readonly work: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Told what goes on. */
  readonly note: (line: string) => void;
}

export class Lab {
  readonly settings: LabSettings;
  readonly #subjects = new Map<string, Promise<Subject>>();

  constructor(settings: LabSettings) {
    this.settings = settings;
  }

  get engine(): Engine {
    return this.settings.engine;
  }

  get signal(): AbortSignal {
    return this.settings.signal;
  }

  /** Opened at the first call. @throws InputError as its teacher's reader. */
  subject(spec: SubjectSpec): Promise<Subject> {
    const known = this.#subjects.get(spec.name);
    if (known) return known;
    const opened = spec.open(this);
    this.#subjects.set(spec.name, opened);
    opened.catch(() => this.#subjects.delete(spec.name));
    return opened;
  }

  /** The result of a cell that the one at work needs. */
  result<R>(cell: Cell<R>): R {
    const found = this.settings.evidence.find(cell);
    if (!found) throw new TypeError(`${cell.file} is needed before it is there`);
    return found.result;
  }
}

/** Seconds since a moment of `performance.now()`, to the millisecond. */
export const secondsSince = (started: number): number => Math.round(performance.now() - started) / 1000;
