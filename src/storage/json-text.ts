/** JSON for people to read: indented, with each list of numbers on one line. */

/** A string, which stays as it is, or a list of nothing but numbers. */
const stringOrNumbers = /"(?:[^"\\]|\\.)*"|\[[\s\d.,e+-]+\]/g;

/** The text of a file: lists of hundreds of masks or scores would be thousands of lines. */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value, null, 1);
  return `${text.replaceAll(stringOrNumbers, (part) => (part.startsWith('"') ? part : part.replaceAll(/\s+/g, "")))}\n`;
}
