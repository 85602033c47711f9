/** Finding keys that stand twice in one JSON object, which `JSON.parse` silently drops. */

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]/gy;
const other = /[^"{}[\],:]+/gy;

/** The first key that repeats within one object of `json`, at any depth; `json` must already have been parsed. */
export function duplicateKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = []; // one per enclosing object; undefined for an array
  let text = "";
  for (let at = 0; at < json.length; ) {
    token.lastIndex = at;
    const match = token.exec(json)?.[0];
    if (match === undefined) {
      other.lastIndex = at;
      at += other.exec(json)?.[0].length ?? 1;
      continue;
    }
    at += match.length;
    if (match === "{") open.push(new Set());
    else if (match === "[") open.push(undefined);
    else if (match === "}" || match === "]") open.pop();
    else if (match === ":") {
      const key = JSON.parse(text) as string; // "a" and "\u0061" are the same key
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    } else if (match !== ",") text = match;
  }
  return undefined;
}
