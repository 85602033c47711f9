/** `tinyfusion devices`. */
import { devices, devicesSettings, type FoundDevice } from "../tasks/devices.ts";
import { command, jsonFlag } from "./command.ts";
import { bytesText, tableLines } from "./table.ts";

export const devicesCommand = command({
  name: "devices",
  summary: "List what can compute here: memory, a measured rate of matrix products, and what is missing for the rest.",
  settings: devicesSettings,
  flags: jsonFlag,
  examples: ["tinyfusion devices", "tinyfusion devices --threads 4 --json"],
  async run(settings, { json }) {
    const found = await devices(settings);
    if (json) return [JSON.stringify(found, null, 2)];
    return [
      ...tableLines(found.filter(({ missing }) => missing === undefined).map(rowOf)),
      ...found.flatMap(({ missing }) => missing ?? []),
    ];
  },
});

function rowOf({ name, what, memoryBytes, gflops }: FoundDevice): string[] {
  const memory = memoryBytes === undefined ? "memory not told" : bytesText(memoryBytes);
  return [name, what, memory, `${gflops!.toFixed(gflops! < 10 ? 1 : 0)} GFLOPS in float32`];
}
