import { expect, test } from "vitest";
import { jsonText } from "../../src/storage/json.ts";

test("lists of numbers stand on one line, whatever else is in the value", () => {
  const value = {
    masks: [
      [0, 2],
      [1e-7, -3.5],
    ],
    names: ["a", "b"],
    none: [],
    mixed: [1, null],
  };
  expect(jsonText(value)).toBe(
    [
      ...["{", ' "masks": [', "  [0,2],", "  [1e-7,-3.5]", " ],"],
      ...[' "names": [', '  "a",', '  "b"', " ],", ' "none": [],'],
      ...[' "mixed": [', "  1,", "  null", " ]", "}", ""],
    ].join("\n"),
  );
});

test("strings stay as they are, even those that look like such lists", () => {
  const value = { "[1, 2]": "seeds [0, 2] of [3, 4]", quoted: 'a "[ 1 ]" \\', after: [1, 2] };
  expect(JSON.parse(jsonText(value))).toEqual(value);
  expect(jsonText(value)).toContain('"after": [1,2]');
});
