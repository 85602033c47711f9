/** What a file is that people take for the one they want, whatever that is: a pointer of Git LFS, a web page, an archive. */

export interface MistakenFile {
  /** With its article: "a web page". */
  readonly found: string;
  /** What to do. */
  readonly remedy: string;
}

/** Bytes of the start of a file that decide. */
export const mistakenFileBytes = 512;

/** What a file begins with (case and leading blanks do not count). */
const starts: readonly (readonly [start: string, found: string, remedy: string])[] = [
  [
    "version https://git-lfs.github.com/spec",
    "a Git LFS pointer, which only names the real file",
    'fetch that with "git lfs pull" or download it again',
  ],
  ...["<!doctype html", "<html", "<head"].map(
    (start) => [start, "a web page", "it is an error or login page; download the file itself"] as const,
  ),
  ...["\x1f\x8b", "7z\xbc\xaf", "rar!", "bzh", "\xfd7zxz"].map(
    (start) => [start, "a packed archive", "unpack it first"] as const,
  ),
];

/** What these first bytes of a file are, if that is one of the usual mix-ups. */
export function mistakenFile(bytes: Uint8Array): MistakenFile | undefined {
  const text = Array.from(bytes.subarray(0, mistakenFileBytes), (byte) => String.fromCharCode(byte)).join("");
  const start = text.trimStart().toLowerCase();
  const match = starts.find(([known]) => start.startsWith(known));
  return match && { found: match[1], remedy: match[2] };
}
