/** `npm run test:long`: tests that take minutes, one file after the other. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["test/**/*.long.ts"], fileParallelism: false, testTimeout: 600_000, hookTimeout: 600_000 },
});
