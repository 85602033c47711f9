/** Drawing one step ahead: each step is drawn once, in order, and errors reach the step they belong to. */
import { expect, it } from "vitest";
import { oneAhead } from "../../src/training/ahead.ts";

it("draws each step once, the next one before it is asked for, and none beyond the last", async () => {
  const drawn: number[] = [];
  const next = oneAhead(async (step) => drawn.push(step) && step, 4);
  expect(await next(0)).toBe(0);
  expect(drawn).toEqual([0, 1]);
  for (const step of [1, 2, 3]) expect(await next(step)).toBe(step);
  expect(drawn).toEqual([0, 1, 2, 3]);
});

it("starts anywhere, and draws again what was not the next one", async () => {
  const drawn: number[] = [];
  const next = oneAhead(async (step) => drawn.push(step) && step, 10);
  expect(await next(5)).toBe(5);
  expect(await next(2)).toBe(2);
  expect(drawn).toEqual([5, 6, 2, 3]);
});

it("fails at the step that could not be drawn, not before", async () => {
  const next = oneAhead(async (step) => {
    if (step === 1) throw new Error("the disk is gone");
    return step;
  }, 3);
  expect(await next(0)).toBe(0);
  await new Promise((settled) => setTimeout(settled, 5));
  await expect(next(1)).rejects.toThrow("the disk is gone");
});
