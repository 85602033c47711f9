/** Finding keys that stand twice in one JSON object, which `JSON.parse` silently drops. */

const quoteMark = 0x22;
const backslash = 0x5c;

/** The first key that repeats within one object of `json`, at any depth; `json` must already have been parsed. */
export function duplicateKey(json: string): string | undefined {
  const enclosing: (Set<string> | undefined)[] = []; // keys of each enclosing object; undefined for an array
  let start = 0;
  let end = 0; // the latest string, quotes included
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case '"':
        start = at;
        at = endOfString(json, at);
        end = at + 1;
        break;
      case "{":
        enclosing.push(new Set());
        break;
      case "[":
        enclosing.push(undefined);
        break;
      case "}":
      case "]":
        enclosing.pop();
        break;
      case ":": {
        const key = JSON.parse(json.slice(start, end)) as string; // "a" and "\u0061" are the same key
        const keys = enclosing.at(-1);
        if (keys?.has(key)) return key;
        keys?.add(key);
      }
    }
  }
  return undefined;
}

/** The position of the quote that closes the string opened at `start`. */
function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const character = json.charCodeAt(at);
    if (character === quoteMark) return at;
    if (character === backslash) at++;
  }
  return json.length;
}
