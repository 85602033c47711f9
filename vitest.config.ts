/** Tests run on the sources: `source` is the condition of package.json's `exports` by which `research/` finds them unbuilt. */
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"], externalConditions: ["source"] } },
  test: { include: ["{test,research/test}/**/*.test.ts"], testTimeout: 60_000 },
});
