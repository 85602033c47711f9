/** Two first starts in one new folder; `npm run test:long` tries hundreds. */
import { spawnSync } from "node:child_process";
import { afterAll, expect, it } from "vitest";
import { BuiltCli } from "./built-cli.ts";
import { ownNamespace, startPairs } from "./simultaneous-starts.ts";

const cli = new BuiltCli();
afterAll(() => cli.remove());

it("of two starts at one moment one wins, in whatever pid namespace, and loses nothing to the other", async () => {
  const hasNamespaces = spawnSync(ownNamespace[0]!, [...ownNamespace.slice(1), "true"]).status === 0;
  const both = await startPairs(cli, 1, hasNamespaces);
  expect(both).not.toEqual({});
}, 120_000);
