#!/usr/bin/env node
/** `npm run study -- NAME`: this process's arguments, streams and signals. */
import { runStudy } from "./command-line.ts";

const controller = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step; press Ctrl-C again to stop at once\n");
    controller.abort();
  });
}
process.exitCode = await runStudy(process.argv.slice(2), {
  print: (line) => void process.stdout.write(`${line}\n`),
  note: (line) => void process.stderr.write(`${line}\n`),
  signal: controller.signal,
});
