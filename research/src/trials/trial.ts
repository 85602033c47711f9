/** A trial of a study: one variant with one seed, computed once, kept as one file. */

import { createHash } from "node:crypto";
import type { Engine } from "tinyfusion";

/** Roughly how much a trial computes, for cost estimates. */
export interface Work {
  /** Optimizer steps of a mask search. */
  readonly searchSteps?: number;
  /** Forward passes of the whole calibration set. */
  readonly passes?: number;
  /** Optimizer steps of a recovery, or of plain training. */
  readonly recoverySteps?: number;
  /** Images that are sampled and scored. */
  readonly images?: number;
}

/** What decides a trial's result, as JSON. */
export type Settings = Readonly<Record<string, unknown>>;

export interface Trial<R = unknown> {
  /** Below the results folder: `table1/cells/learned-s0.json`. */
  readonly file: string;
  readonly study: string;
  readonly variant: string;
  readonly seed: number;
  /** What is pruned: trials of one benchmark take about the same time for the same work. */
  readonly benchmark: string;
  readonly settings: Settings;
  /** Trials that must be there before. */
  readonly needs: readonly Trial[];
  readonly work: Work;
  /** Whether it measures time: no process that shares trials computes another one meanwhile. */
  readonly isTimed?: boolean;
  /** @throws the reason of the context's signal if it is aborted. */
  compute(context: StudyContext): Promise<R>;
}

/** Finds the stored result of a trial; undefined if it is not there. */
export type Find = <R>(trial: Trial<R>) => R | undefined;

/** Identifies all that decides a trial's result: its settings, and those of all trials that it needs. */
export function settingsSha256(trial: Trial): string {
  const needs = trial.needs.map((need) => [need.file, settingsSha256(need)]);
  return createHash("sha256")
    .update(JSON.stringify([ordered(trial.settings), needs]))
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

/** The trials with all that they need, each once, what is needed first. */
export function withNeeds(trials: readonly Trial[]): Trial[] {
  const all = new Map<string, Trial>();
  const visit = (trial: Trial): void => {
    if (all.has(trial.file)) return;
    for (const need of trial.needs) visit(need);
    all.set(trial.file, trial);
  };
  for (const trial of trials) visit(trial);
  return [...all.values()];
}

/** The file of a study's trial. */
export const trialFile = (study: string, variant: string, seed: number): string =>
  `${study}/cells/${variant}-s${seed}.json`;

export interface ContextSettings {
  readonly engine: Engine;
  readonly threads: number;
  readonly find: Find;
  /** Folder for large things that can be computed again. */
  readonly work: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Receives lines of progress. */
  readonly note: (line: string) => void;
}

/** What trials are computed with: an engine, results of other trials, and what is opened once for all of them. */
export class StudyContext {
  readonly settings: ContextSettings;
  readonly #opened = new Map<string, Promise<unknown>>();

  constructor(settings: ContextSettings) {
    this.settings = settings;
  }

  get engine(): Engine {
    return this.settings.engine;
  }

  get signal(): AbortSignal {
    return this.settings.signal;
  }

  /** What `open` returns at the first call with this name; a failure is not kept. */
  once<T>(name: string, open: () => Promise<T>): Promise<T> {
    const known = this.#opened.get(name);
    if (known) return known as Promise<T>;
    const opened = open();
    this.#opened.set(name, opened);
    opened.catch(() => this.#opened.delete(name));
    return opened;
  }

  /** The result of a trial that the one being computed needs. */
  result<R>(trial: Trial<R>): R {
    const found = this.settings.find(trial);
    if (found === undefined) throw new TypeError(`${trial.file} is needed before it is there`);
    return found;
  }
}

/** Seconds since a moment of `performance.now()`, to the millisecond. */
export const secondsSince = (started: number): number => Math.round(performance.now() - started) / 1000;
