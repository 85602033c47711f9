#!/usr/bin/env node
/** The `tinyfusion` command: this process's arguments, streams and signals. */
import { runProgram } from "./program.ts";

const controller = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step; press Ctrl-C again to stop at once\n");
    controller.abort();
  });
}
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error; // the reader of a pipe may leave: `tinyfusion inspect FILE | head`
  });
}

const { stdout, stderr } = process;
process.exitCode = await runProgram(process.argv.slice(2), {
  stdout,
  stderr,
  signal: controller.signal,
  env: process.env,
});
