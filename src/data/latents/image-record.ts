/** Which images a folder of latents was made from: name, label and SHA-256 of each, so that a repeated command sees what changed. */
import { join } from "node:path";
import { appendLine, readLines } from "../../storage/append-lines.ts";
import { writeAtomically } from "../../storage/atomic-write.ts";
import { exists } from "../../storage/read.ts";
import type { ImageListing } from "../images/list-images.ts";

/** The file in the folder of latents. */
export const imageRecordName = "images.jsonl";

/** Images of one line of the finished file. */
const LINE = 1000;

/** Images `first` … of the listing; what a line leaves out, another line says. */
interface RecordLine {
  readonly first: number;
  readonly names?: readonly string[];
  readonly labels?: readonly number[];
  /** Null for images that are not encoded yet. */
  readonly sums?: readonly (string | null)[];
}

export class ImageRecord {
  readonly #folder: string;
  readonly names: string[] = [];
  readonly labels: number[] = [];
  /** By place in the listing; absent for images that are not encoded yet. */
  readonly sums = new Map<number, string>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** The record of a folder; undefined for one that is new, or of an earlier version. */
  static read(folder: string): ImageRecord | undefined {
    if (!exists(join(folder, imageRecordName))) return undefined;
    const record = new ImageRecord(folder);
    for (const { first, names = [], labels = [], sums = [] } of readLines(
      join(folder, imageRecordName),
    ) as RecordLine[]) {
      for (const [i, name] of names.entries()) record.names[first + i] = name;
      for (const [i, label] of labels.entries()) record.labels[first + i] = label;
      for (const [i, sum] of sums.entries()) if (sum !== null) record.sums.set(first + i, sum);
    }
    return record;
  }

  /** Begins the record of a listing of which nothing is known to be encoded. */
  static async begin(folder: string, { names, labels }: ImageListing): Promise<ImageRecord> {
    const record = new ImageRecord(folder);
    for (const name of names) record.names.push(name);
    for (const label of labels) record.labels.push(label);
    await record.finish();
    return record;
  }

  /** Notes images `first` … as they were encoded. */
  note(first: number, sums: readonly string[]): void {
    for (const [i, sum] of sums.entries()) this.sums.set(first + i, sum);
    appendLine(join(this.#folder, imageRecordName), { first, sums } satisfies RecordLine);
  }

  /** Writes everything in the same lines, whatever the batches were. */
  async finish(): Promise<void> {
    const lines: string[] = [];
    for (let first = 0; first < this.names.length; first += LINE) {
      const names = this.names.slice(first, first + LINE);
      const labels = this.labels.slice(first, first + LINE);
      const sums = names.map((_, i) => this.sums.get(first + i) ?? null);
      lines.push(`${JSON.stringify({ first, names, labels, sums } satisfies RecordLine)}\n`);
    }
    await writeAtomically(join(this.#folder, imageRecordName), lines.join(""));
  }

  /** How a listing differs: `2 added (a.png, b.png); 1 removed (c.png)`; undefined if it does not. */
  differenceTo({ names, labels }: ImageListing): string | undefined {
    const before = new Map(this.names.map((name, i) => [name, this.labels[i]!]));
    const now = new Map(names.map((name, i) => [name, labels[i]!]));
    const parts = [
      ["added", names.filter((name) => !before.has(name))],
      ["removed", this.names.filter((name) => !now.has(name))],
      ["with another label", names.filter((name) => before.has(name) && before.get(name) !== now.get(name))],
    ] as const;
    const changes = parts.flatMap(([what, found]) =>
      found.length > 0 ? [`${found.length} ${what} (${someOf(found)})`] : [],
    );
    return changes.length > 0 ? changes.join("; ") : undefined;
  }
}

const SHOWN = 5;

/** The first few names. */
export const someOf = (names: readonly string[]): string =>
  `${names.slice(0, SHOWN).join(", ")}${names.length > SHOWN ? ", …" : ""}`;
