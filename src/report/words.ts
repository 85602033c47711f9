/** Small words of reports, which are made from numbers. */

/** `1 seed`, `3 searches`. */
export const counted = (count: number, noun: string): string => `${count} ${count === 1 ? noun : plural(noun)}`;

const plural = (noun: string): string => (noun.endsWith("ch") ? `${noun}es` : `${noun}s`);

/** `a`, `a and b`, `a, b and c`. */
export const listed = (parts: readonly string[]): string =>
  parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
