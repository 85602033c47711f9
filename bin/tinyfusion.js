#!/usr/bin/env node
// What npm links, and executable in git: the built program is neither there nor executable in a repository before a build.
import { existsSync } from "node:fs";

const program = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(program)) {
  await import(program.href);
} else {
  process.stderr.write(
    `tinyfusion is not built (${program.pathname} is not there): run \`npm run build\`, then this again\n`,
  );
  process.exitCode = 1;
}
