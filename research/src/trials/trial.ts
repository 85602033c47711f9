/** A cell of a study: one arm with one seed, computed once, kept as one file. */

import { createHash } from "node:crypto";
import type { Engine } from "tinyfusion";
import type { Subject, SubjectSpec } from "../pipeline/benchmark.ts";
import type { Evidence } from "./results.ts";

/** About how much there is to do in a cell, for plans. */
export interface Work {
  /** Optimizer steps of a mask search. */
  readonly searchSteps?: number;
  /** Forward passes of the whole calibration set. */
  readonly passes?: number;
  /** Optimizer steps of a recovery, or of plain training. */
  readonly recoverySteps?: number;
  /** Images that are drawn, and scored. */
  readonly images?: number;
}

/** What decides a cell's result, as JSON. */
export type Settings = Readonly<Record<string, unknown>>;

export interface Cell<R = unknown> {
  /** Below the evidence folder: `table1/cells/learned-s0.json`. */
  readonly file: string;
  readonly study: string;
  readonly arm: string;
  readonly seed: number;
  /** What is pruned: cells of one subject take about the same time for the same work. */
  readonly subject: string;
  readonly settings: Settings;
  /** Cells that must be there before. */
  readonly needs: readonly Cell[];
  readonly work: Work;
  /** Its seconds are what it finds: no process that shares cells is at another one meanwhile. */
  readonly isTimed?: boolean;
  /** @throws the reason of the lab's signal if it is aborted. */
  compute(lab: Lab): Promise<R>;
}

/** Finds the stored result of a cell; undefined if it is not there. */
export type Find = <R>(cell: Cell<R>) => R | undefined;

/** Identifies all that decides a cell's result: its settings, and those of all cells that it needs. */
export function settingsSha256(cell: Cell): string {
  const needs = cell.needs.map((need) => [need.file, settingsSha256(need)]);
  return createHash("sha256")
    .update(JSON.stringify([ordered(cell.settings), needs]))
    .digest("hex");
}

/** The same value with keys in alphabetical order, and without those that are undefined. */
function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, ordered(inner)]));
}

/** Names of settings that differ, in alphabetical order. */
export function differingSettings(a: Settings, b: Settings): string[] {
  const text = (value: unknown) => JSON.stringify(ordered(value));
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => text(a[key]) !== text(b[key])).sort();
}

/** The cells with all that they need, each once, what is needed first. */
export function withNeeds(cells: readonly Cell[]): Cell[] {
  const all = new Map<string, Cell>();
  const visit = (cell: Cell): void => {
    if (all.has(cell.file)) return;
    for (const need of cell.needs) visit(need);
    all.set(cell.file, cell);
  };
  for (const cell of cells) visit(cell);
  return [...all.values()];
}

/** The file of a study's cell. */
export const cellFile = (study: string, arm: string, seed: number): string => `${study}/cells/${arm}-s${seed}.json`;

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
