/** Where training scripts put weights in a file of torch.save, and which of several are read. */
import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { openTorch } from "../../src/formats/torch/open-torch.ts";
import { bytesInMemory } from "../../src/formats/weight-file.ts";
import {
  type Code,
  call,
  dict,
  global,
  int,
  list,
  none,
  pickle,
  six,
  storage,
  tensor,
  text,
  torchZip,
} from "./torch-pickles.ts";

const one = (value: number): Code => tensor(storage("0", 6), value, [1], [1]);
const counter = tensor(storage("0", 6), 5, [], []);
const weights = (value: number): Code => dict(["w", one(value)]);
const open = (root: Code, wanted?: string) =>
  openTorch(bytesInMemory(torchZip(pickle(root), { 0: six }), "some.pt"), wanted);

/** A dictionary with integers for keys. */
const numbered = (...entries: readonly [number, Code][]): Code => [
  ...[0x7d, 0x28],
  ...entries.flatMap(([key, value]) => [...int(key), ...value]),
  0x75,
];

/** Which weights are read, told by their value. */
async function taken(root: Code, wanted?: string) {
  const file = await open(root, wanted);
  const value = (await file.tensors.get("w")!.read()).data[0];
  return [file.weights, value];
}

async function refusal(root: Code, wanted?: string): Promise<string> {
  const error = await open(root, wanted).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InputError);
  return (error as Error).message;
}

describe("weights are found", () => {
  test.each([
    ..."model state_dict module model_state_dict params generator network net model_state weights".split(" "),
    ..."checkpoint denoiser unet online_model G".split(" "),
  ])("under %s", async (name) => {
    expect(await taken(dict([name, weights(1)], ["epoch", int(9)]))).toEqual(["raw", 1]);
    expect(await taken(dict([name, weights(1)]), "model")).toEqual(["raw", 1]);
  });

  test.each(
    "ema model_ema ema_state_dict params_ema ema_model state_dict_ema model_ema_state_dict g_ema net_ema averaged_model".split(
      " ",
    ),
  )("under %s, as the moving average", async (name) => {
    const both = dict(["model", weights(1)], [name, weights(2)]);
    expect(await taken(both)).toEqual(["ema", 2]);
    expect(await taken(both, "ema")).toEqual(["ema", 2]);
    expect(await taken(both, "model")).toEqual(["raw", 1]);
    expect(await taken(both, name)).toEqual(["ema", 2]);
  });

  test("in a list or tuple of one, and one level further down", async () => {
    expect(await taken(list(weights(1)))).toEqual(["raw", 1]);
    expect(await taken([...dict(["model", weights(2)]), 0x85])).toEqual(["raw", 2]);
    expect(await taken(dict(["model", list(weights(3))]))).toEqual(["raw", 3]);
    expect(await taken(dict(["trainer", dict(["model", weights(4)], ["step", int(1)])]))).toEqual(["raw", 4]);
    expect(
      await taken(dict(["model", weights(1)], ["ema", dict(["module", weights(2)], ["updates", int(3)])])),
    ).toEqual(["ema", 2]);
    const shadow = dict(["decay", counter], ["n_averaged", counter], ["shadow", weights(3)]);
    expect(await taken(dict(["model", weights(1)], ["ema", shadow]))).toEqual(["ema", 3]);
    expect(await taken(dict(["model", weights(1)], ["ema", shadow]), "ema.shadow")).toEqual(["ema", 3]);
  });

  test("under numbers, and in a list or tuple beside an optimizer", async () => {
    const optimizer = dict(["state", dict()], ["param_groups", list()]);
    const file = await open(numbered([0, weights(1)], [1, optimizer]));
    expect(file.notes).toEqual(['some.pt: its only weights are called "0"']);
    expect(await taken(numbered([0, optimizer], [1, weights(2)]))).toEqual(["raw", 2]);
    expect(await taken(numbered([7, dict(["model", weights(3)])]))).toEqual(["raw", 3]);
    expect(await taken(list(weights(4), optimizer, int(9)))).toEqual(["raw", 4]);
    expect(await taken([...dict(["ema", weights(5)]), ...int(9), 0x86])).toEqual(["ema", 5]);
    const two = list(weights(1), weights(2));
    expect(await refusal(two)).toContain('several sets of weights that fit: "0", "1"; choose one, as with `weights` 0');
    expect(await taken(two, "1")).toEqual(["raw", 2]);
  });

  test("with the arguments that stand beside them, also further down and in a list", async () => {
    const args = dict(["path_type", text("GVP")]);
    const checkpoint = dict(["model", weights(1)], ["args", args]);
    for (const root of [checkpoint, dict(["trainer", checkpoint]), list(checkpoint, int(9))])
      expect((await open(root)).otherEntries.args).toEqual({ path_type: "GVP" });
  });

  test("or the keys and items that there are instead are named", async () => {
    const optimizer = dict(["state", dict(["exp_avg", one(1)])], ["param_groups", list()]);
    expect(await refusal(numbered([0, optimizer], [1, int(5)]))).toContain("found no tensors, only 0, 1");
    expect(await refusal(list(optimizer, int(5)))).toContain("found a list of a dictionary, a number without tensors");
  });

  test("in the state of a callback of Lightning, if that is a moving average", async () => {
    const file = (callback: Code) =>
      dict(["state_dict", weights(1)], ["callbacks", dict(["EMA{'decay': 0.999}", callback])]);
    expect(await taken(file(dict(["ema_state_dict", weights(2)], ["step", counter])))).toEqual(["ema", 2]);
    expect(await taken(file(dict(["ema_state_dict", weights(2)])), "model")).toEqual(["raw", 1]);
    expect(await taken(file(dict(["best_model_state", weights(2)], ["scores", one(3)])))).toEqual(["raw", 1]);
    expect((await open(file(dict(["ema_weights", list(one(2), one(3))])))).notes.join()).toMatch(
      /its moving average is a list \(callbacks\.EMA.*ema_weights\) of 2 tensors without names/,
    );
  });

  test("under a name that nobody uses, if there are no others; that is noted", async () => {
    const file = await open(dict(["mine", weights(1)], ["epoch", int(9)]));
    expect(file.notes).toEqual(['some.pt: its only weights are called "mine"']);
    expect(await taken(dict(["mine", weights(1)]))).toEqual(["raw", 1]);
  });

  test("but not in the state of an optimizer, a scaler or a random generator", async () => {
    const beside: [string, Code][] = [
      ["optimizer", dict(["state", dict(["exp_avg", one(4)])])],
      ["rng_state", dict(["cpu", one(5)])],
    ];
    expect(await taken(dict(["model", weights(1)], ...beside))).toEqual(["raw", 1]);
    expect((await open(dict(["model", weights(1)], ...beside))).groups).toEqual(["model", "rng_state"]);
  });
});

describe("several sets of weights", () => {
  test("that fit are listed with the option that chooses, and each can be chosen", async () => {
    const several = dict(["generator", weights(1)], ["network", weights(2)], ["teacher", weights(3)]);
    expect(await refusal(several)).toBe(
      'some.pt: holds several sets of weights that fit: "generator", "network"; choose one, as with `weights` generator',
    );
    expect(await taken(several, "network")).toEqual(["raw", 2]);
    expect(await taken(several, "teacher")).toEqual(["raw", 3]);
    const averages = dict(["ema_0.999", weights(1)], ["ema_0.9999", weights(2)], ["model", weights(3)]);
    expect(await taken(averages, "ema_0.9999")).toEqual(["ema", 2]);
    expect(await taken(averages, "model")).toEqual(["raw", 3]);
    expect(await refusal(dict(["ema", weights(1)], ["model_ema", weights(2)]))).toContain('"ema", "model_ema"; choose');
    expect(await refusal(dict(["mine", weights(1)], ["yours", weights(2)]))).toContain('"mine", "yours"; choose one');
  });

  test("under two names but one and the same count once", async () => {
    const shared: Code = [0x7d, 0x28, ...text("model"), ...weights(4), 0x71, 9, ...text("network"), 0x68, 9, 0x75];
    expect(await taken(shared)).toEqual(["raw", 4]);
  });

  test("in one dictionary are left to whoever knows the names, whatever is asked for", async () => {
    const flat = dict(["ema_model.w", one(1)], ["online_model.w", one(2)], ["step", counter]);
    for (const wanted of [undefined, "ema", "model", "online_model"]) {
      for (const root of [flat, dict(["state_dict", flat])]) {
        expect([...(await open(root, wanted)).tensors.keys()]).toEqual(["ema_model.w", "online_model.w", "step"]);
      }
    }
    expect(await refusal(flat, "student")).toContain("expected weights called student, found one dictionary");
  });
});

describe("a moving average without names", () => {
  const shadow = list(one(1), one(2), one(3));
  const message = "tensors without names, as the state of diffusers' EMAModel is";

  test.each([
    ["diffusers' EMAModel", dict(["shadow_params", shadow], ["decay", int(1)]), "a list (shadow_params) of 3"],
    ["in an entry", dict(["ema", dict(["shadow_params", shadow], ["collected_params", none])]), "(ema.shadow_params)"],
    ["as a list", dict(["ema", shadow]), "a list (ema) of 3"],
    ["as the whole file", shadow, "a list of 3"],
  ])("is refused by what it is: %s", async (_where, root, place) => {
    const said = await refusal(root);
    expect(said).toContain(message);
    expect(said).toContain(place);
    expect(said).toContain("save model.state_dict()");
  });

  test("beside the weights themselves is noted, and refused where it is asked for", async () => {
    const both = dict(["model", weights(4)], ["ema", dict(["shadow_params", shadow])]);
    expect(await taken(both)).toEqual(["raw", 4]);
    expect((await open(both)).notes).toEqual([expect.stringContaining(message)]);
    expect((await open(both, "model")).notes).toEqual([]);
    expect(await refusal(both, "ema")).toContain(message);
  });
});

test("a whole module is refused by its class, with what to save instead", async () => {
  const module: Code = [
    ...call(global("models", "DiT")),
    ...dict(["_parameters", weights(1)], ["_modules", dict()]),
    0x62,
  ];
  for (const root of [module, dict(["model", module], ["epoch", int(1)])]) {
    expect(await refusal(root)).toBe(
      "some.pt: expected a dictionary of tensors, found a whole module of the class models.DiT, which is not known here; save its state_dict() instead",
    );
  }
});
