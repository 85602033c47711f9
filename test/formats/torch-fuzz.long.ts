/** `npx vitest run --config vitest.long.config.ts torch-fuzz`: 100,000 changed files, or as many as FILES says. */
import { expect, test } from "vitest";
import { changed, isExecuted, materials, outcomeOf } from "./mutated-files.ts";

const files = Number(process.env.FILES ?? 100_000);
const longestMs = 1000;

test(`${files} changed files: no crash, nothing over a second, nothing executed`, {
  timeout: 4 * 3600_000,
}, async () => {
  const entries = Object.entries(materials);
  const counts = { read: 0, refused: 0 };
  const wrong: string[] = [];
  let longest = { ms: 0, what: "none" };
  const started = performance.now();
  for (let index = 0; index < files; index++) {
    const [name, material] = entries[index % entries.length]!;
    const { outcome, ms } = await outcomeOf(material, changed(name, material.part, 1_000_000 + index));
    const what = `${name}, change ${1_000_000 + index}`;
    if (typeof outcome === "string") counts[outcome]++;
    else wrong.push(`${what}: ${outcome.stack}`);
    if (ms > longest.ms) longest = { ms, what };
    if (ms > longestMs) wrong.push(`${what}: ${ms} ms`);
  }
  const seconds = Math.round((performance.now() - started) / 1000);
  console.log({ files, ...counts, longest, seconds });
  expect(wrong.slice(0, 10)).toEqual([]);
  expect(isExecuted()).toBe(false);
});
