/** JSON-lines files: append one record, read them, cut them back. */

import { closeSync, existsSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { writeAtomically } from "./atomic-write.ts";
import { fileError } from "./file-error.ts";
import { readBytes } from "./read.ts";

const newline = 0x0a;

/**
 * Appends `record` as one line. After a crash in the middle of a line the next append starts a new line;
 * if the disk is full the file is cut back to what it was.
 * @throws InputError naming path and bytes if the line cannot be written.
 */
export function appendLine(path: string, record: unknown): void {
  let bytes = new TextEncoder().encode(`${JSON.stringify(record)}\n`);
  try {
    const file = openSync(path, "a+");
    try {
      const { size } = fstatSync(file);
      if (size > 0 && lastByte(file, size) !== newline) bytes = Uint8Array.from([newline, ...bytes]);
      try {
        for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
      } catch (error) {
        cutBack(file, size);
        throw error;
      }
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw fileError(`append ${bytes.length} bytes to`, path, error);
  }
}

/** Removes a partial line, where the file system still lets us. */
function cutBack(file: number, size: number): void {
  try {
    ftruncateSync(file, size);
  } catch {} // the error that led here is the one to report
}

function lastByte(file: number, size: number): number | undefined {
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, size - 1);
  return byte[0];
}

/** Lines that hold JSON; a line torn by a crash does not, and is passed over. */
function parsedLines(path: string): { readonly text: string; readonly record: unknown }[] {
  if (!existsSync(path)) return [];
  const lines: ReturnType<typeof parsedLines> = [];
  for (const text of new TextDecoder().decode(readBytes(path)).split("\n")) {
    try {
      if (text.trim() !== "") lines.push({ text, record: JSON.parse(text) });
    } catch {} // torn
  }
  return lines;
}

/** The records of a JSON-lines file, without torn lines; none if the file does not exist. */
export function readLines(path: string): unknown[] {
  return parsedLines(path).map((line) => line.record);
}

/**
 * Keeps the lines whose record satisfies `keepIf`, byte for byte, in one atomic step; torn lines go.
 * A file that does not exist stays absent.
 */
export async function truncateLines(path: string, keepIf: (record: unknown) => boolean): Promise<void> {
  if (!existsSync(path)) return;
  const kept = parsedLines(path).filter((line) => keepIf(line.record));
  await writeAtomically(path, kept.map((line) => `${line.text}\n`).join(""));
}
