import { describe, expect, test } from "vitest";
import { InputError } from "../../src/array/input-error.ts";
import { imagenetClass, imagenetClasses, imagenetClassName } from "../../src/data/class-names.ts";

describe("the classes of ImageNet", () => {
  test("there are 1000, none without a name; only the bird and the machine have all names in common", () => {
    expect(imagenetClasses).toHaveLength(1000);
    expect(imagenetClasses.flat().filter((name) => !/^[A-Za-z0-9]\S*(?: \S+)*$/.test(name))).toEqual([]);
    const all = imagenetClasses.map((names) => names.join(", "));
    expect(all.flatMap((names, label) => (all.indexOf(names) < label ? [label, names] : []))).toEqual([517, "crane"]);
  });

  test.each([
    [0, "tench"],
    [88, "macaw"],
    [207, "golden retriever"],
    [360, "otter"],
    [387, "lesser panda"],
    [979, "valley"],
    [999, "toilet tissue"],
  ])("%i is %s", (label, name) => {
    expect(imagenetClassName(label)).toBe(name);
    expect(imagenetClass(name)).toBe(label);
  });

  test("a label that does not exist is a mistake of the program", () => {
    expect(() => imagenetClassName(1000)).toThrow(RangeError);
    expect(() => imagenetClassName(-1)).toThrow(RangeError);
  });
});

describe("finding a class by what a person types", () => {
  test.each([
    ["207", 207],
    [" Golden  RETRIEVER ", 207],
    ["golden_retriever", 207],
    ["Ailurus fulgens", 387], // any of its names
    ["tinca tinca", 0],
    ["macaw", 88],
    ["hotdog", 934],
    ["eel", 390], // a name of one class, though a part of others (electric eel, reel)
    ["flat-coated", 205], // a part that only one class has
  ])("%j is %i", (text, label) => {
    expect(imagenetClass(text)).toBe(label);
  });

  test("a name of two classes names both", () => {
    expect(() => imagenetClass("crane")).toThrow(InputError);
    expect(() => imagenetClass("crane")).toThrow(
      '"crane" may be any of 2 classes of ImageNet: 134 (crane), 517 (crane)',
    );
    expect(() => imagenetClass("panda")).toThrow(/387 \(lesser panda, red panda\), 388 \(giant panda, panda\)/);
  });

  test("a part of many names says how many", () => {
    expect(() => imagenetClass("terrier")).toThrow(/may be any of \d\d classes .* and \d+ more; give the number/);
  });

  test.each([
    ["golden retreiver", "207 (golden retriever)"],
    ["valey", "979 (valley, vale)"],
    ["1000", "a number from 0 to 999"],
    ["", "a number from 0 to 999"],
  ])("%j is no class; what comes near is named", (text, near) => {
    expect(() => imagenetClass(text)).toThrow(InputError);
    expect(() => imagenetClass(text)).toThrow(near);
  });
});
