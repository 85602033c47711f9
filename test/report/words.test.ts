import { expect, test } from "vitest";
import { counted } from "../../src/report/words.ts";

test("one is counted as one", () => {
  expect([counted(1, "seed"), counted(2, "search"), counted(0, "cell")]).toEqual(["1 seed", "2 searches", "0 cells"]);
});
