/**
 * Hundreds of pairs of first starts in one new folder, with the same and other settings, in the same and other pid
 * namespaces: `PAIRS=200 npm run test:long -- simultaneous-starts`.
 */
import { spawnSync } from "node:child_process";
import { afterAll, expect, it } from "vitest";
import { BuiltCli } from "./built-cli.ts";
import { ownNamespace, startPairs } from "./simultaneous-starts.ts";

const cli = new BuiltCli();
afterAll(() => cli.remove());

const pairs = Number(process.env.PAIRS ?? 40);

it(`of ${pairs} pairs of starts at one moment one wins each time, and loses nothing to the other`, async ({ skip }) => {
  const hasNamespaces = spawnSync(ownNamespace[0]!, [...ownNamespace.slice(1), "true"]).status === 0;
  skip(!hasNamespaces, "pid namespaces are not allowed here");
  const started = performance.now();
  const both = await startPairs(cli, Math.ceil(pairs / 4), hasNamespaces, (done) => {
    if (done % 20 === 0) console.log(`${done} pairs after ${Math.round((performance.now() - started) / 1000)} s`);
  });
  console.log("pairs of which both succeeded, one after the other:", both);
  expect(Object.keys(both).length).toBe(4);
}, 3_600_000);
