/** The devices of a machine as a task, and the setting that names one. */
import { expect, test } from "vitest";
import { deviceNames, openDevice, runOn } from "../../src/engine/devices.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { add, input, mul } from "../../src/graph/build.ts";
import { nodesOf } from "../../src/graph/graph.ts";
import { devices } from "../../src/tasks/devices.ts";
import { SettingError } from "../../src/tasks/settings.ts";
import { engineSettings, recordedDevice } from "../../src/tasks/shared-settings.ts";
import { startTask } from "../../src/tasks/task.ts";

test("every device is listed: with its rate if it is here, with what it needs if not", async () => {
  const found = await devices({ threads: 1 });
  expect(found.map(({ name }) => name)).toEqual([...deviceNames]);
  const [cpu] = found;
  expect(cpu!.memoryBytes).toBeGreaterThan(1e8);
  expect(cpu!.gflops).toBeGreaterThan(1);
  for (const { gflops, missing } of found) {
    if (missing === undefined) expect(gflops).toBeGreaterThan(0);
    else expect(missing).toMatch(/; it needs /);
  }
}, 60_000);

test("a task computes on the device that is named, on that of the environment, or on the CPU", async () => {
  const nameOf = async (settings: { device?: "cpu" | "webgpu" }) => {
    const { values } = await startTask(engineSettings, settings);
    return values.device;
  };
  expect(await nameOf({})).toBe(process.env.TINYFUSION_DEVICE ?? "cpu");
  const before = process.env.TINYFUSION_DEVICE;
  process.env.TINYFUSION_DEVICE = "webgpu";
  expect([await nameOf({}), await nameOf({ device: "cpu" })]).toEqual(["webgpu", "cpu"]);
  if (before === undefined) delete process.env.TINYFUSION_DEVICE;
  else process.env.TINYFUSION_DEVICE = before;
  expect(openDevice("cpu").name).toBe(cpuEngine().name);
  const unknown = startTask(engineSettings, { device: "tpu" } as never);
  await expect(unknown).rejects.toThrow(SettingError);
  await expect(unknown).rejects.toThrow(/`device` expects one of cpu, webgpu, got tpu/);
});

test("an engine that is given is used whatever the device", async () => {
  const engine = cpuEngine({ threads: 1 });
  const { context } = await startTask(engineSettings, { device: "webgpu", engine });
  expect(context.engine()).toBe(engine);
});

test("only a device other than the CPU is recorded, so that records of before stay the same", () => {
  expect([recordedDevice({ device: "cpu" }), recordedDevice({ device: "webgpu" })]).toEqual([{}, { device: "webgpu" }]);
});

test.each(deviceNames)("a graph is planned as %s runs it", (name) => {
  const x = input("x", [2]);
  const same = { outputs: { a: add(mul(x, 2), 1), b: add(mul(x, 2), 1) } };
  const planned = runOn(name, same);
  expect(nodesOf(Object.values(planned.outputs)).length).toBeLessThan(nodesOf(Object.values(same.outputs)).length);
});
