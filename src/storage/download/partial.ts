/** An unfinished file: bytes are appended to it, try after try, until it is whole and gets its final name. */

import { rmSync } from "node:fs";
import { open, rename, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { fileError } from "../file-error.ts";
import { connectionError } from "./http.ts";
import { Interruption, WrongAnswer } from "./retry.ts";

const realProgress = 2 ** 24; // bytes of one try that make it a success, however often the connection drops

/** Called with how many bytes of a file are there, and how many there will be. */
export type FileProgress = (bytes: number, total: number | undefined) => void;

/** The bytes of a response; none where it has no body. */
export type Body = AsyncIterable<Uint8Array> | null;

/** An unfinished file, open for appending. */
export interface PartialFile {
  readonly path: string;
  /** Bytes that are there. */
  length(): number;
  /** Empties the file. @throws InputError if the disk refuses. */
  clear(): Promise<void>;
  /**
   * Appends a body, after which the file has `size` bytes where that is known.
   * @throws Interruption if it ends too early, WrongAnswer if it is too long, InputError if the disk refuses.
   */
  receive(body: Body, size: number | undefined, progress: FileProgress): Promise<void>;
  /** Flushes the file to disk and renames it to the target. */
  publish(): Promise<void>;
  /** Closes the file and removes it if it is empty. */
  close(): Promise<void>;
}

/** Opens or makes the unfinished file of a target. Only for the holder of its lock. @throws InputError if the disk refuses. */
export async function openPartial(path: string, target: string, subject: string): Promise<PartialFile> {
  const failed = (error: unknown) => {
    throw fileError("write", path, error);
  };
  const handle = await open(path, "a").catch(failed); // appending writes never fall into the middle
  let length = (await handle.stat()).size;
  const append = async (bytes: Uint8Array) => {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await handle.write(bytes, done).catch(failed);
      done += bytesWritten;
      length += bytesWritten;
    }
  };
  return {
    path,
    length: () => length,
    clear: async () => {
      await handle.truncate(0).catch(failed);
      length = 0;
    },
    receive: async (body, size, progress) => {
      await requireSpace(subject, size && size - length, target);
      const before = length;
      const interruption = (message: string) =>
        new Interruption(`${message} after ${length} of ${size ?? "unknown"} bytes`, {
          progressed: length - before >= realProgress,
        });
      progress(length, size);
      try {
        for await (const bytes of body ?? []) {
          if (size !== undefined && length + bytes.length > size) {
            throw new WrongAnswer(`the file has ${size} bytes, the server sends more`);
          }
          await append(bytes);
          progress(length, size);
        }
      } catch (error) {
        const failure = connectionError(subject, "the connection was dropped", error);
        const isPlain = failure instanceof Interruption && !(failure instanceof WrongAnswer);
        throw isPlain ? interruption(failure.message) : failure;
      }
      if (size !== undefined && length < size) throw interruption("the connection was closed");
    },
    publish: async () => {
      await handle.sync().catch(failed);
      await handle.close(); // Windows renames no open files
      await rename(path, target).catch(failed);
    },
    close: async () => {
      await handle.close(); // once more does no harm
      if (length === 0) rmSync(path, { force: true });
    },
  };
}

/** @throws InputError if the disk certainly has no room for so many bytes. */
async function requireSpace(subject: string, bytes: number | undefined, target: string): Promise<void> {
  const folder = dirname(target);
  const free = await statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => Number.POSITIVE_INFINITY, // not every file system says
  );
  if (bytes === undefined || bytes <= free) return;
  throw new InputError(
    `cannot download ${subject}: it has ${bytes} bytes, ${folder} has room for ${free}; free some space or choose another cache folder`,
  );
}
