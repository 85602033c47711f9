import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { listImages, listingSha256 } from "../../../src/data/images/list-images.ts";
import { plantImages } from "./plant-images.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tinyfusion-images-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const labelled = (...parameters: Parameters<typeof listImages>) => {
  const { names, labels } = listImages(...parameters);
  return names.map((name, i) => `${name} ${labels[i]}`);
};

/** Writes a labels file and lists with it. */
function listWith(name: string, text: string, numClasses?: number): string[] {
  const path = join(folder, name);
  writeFileSync(path, text);
  return labelled(folder, path, numClasses);
}

describe("class folders", () => {
  test("are classes in the sorted order of their names", () => {
    plantImages(folder, ["n02/b.png", "n02/a.JPEG", "n01/x.jpg", "n10/deep/er/y.webp", "n10/z.tif"]);
    expect(labelled(folder)).toEqual([
      "n01/x.jpg 0",
      "n02/a.JPEG 1",
      "n02/b.png 1",
      "n10/z.tif 2",
      "n10/deep/er/y.webp 2",
    ]);
    const { classNames, numClasses, labelsFrom, notes } = listImages(folder);
    expect({ classNames, numClasses, labelsFrom, notes }).toEqual({
      classNames: ["n01", "n02", "n10"],
      numClasses: 3,
      labelsFrom: "class folders",
      notes: [],
    });
  });

  test("other files are passed over; image-like names are not, though they may not be readable", () => {
    plantImages(folder, ["a/x.png", ["a/notes.txt", "hi"], "a/.hidden.png", ["a/old.bmp", "BM"], [".git/x.png", ""]]);
    expect(labelled(folder)).toEqual(["a/old.bmp 0", "a/x.png 0"]);
  });

  test("behind links count like any other", () => {
    plantImages(folder, ["store/first/x.png", "store/y.png", "set/a/z.png"]);
    symlinkSync(join(folder, "store/first"), join(folder, "set/b"));
    symlinkSync(join(folder, "store/y.png"), join(folder, "set/a/y.png"));
    expect(labelled(join(folder, "set"))).toEqual(["a/y.png 0", "a/z.png 0", "b/x.png 1"]);
  });

  test("called by numbers are numbered by name too, and where that gives other numbers it is said", () => {
    plantImages(folder, ["0/a.png", "1/a.png", "10/a.png", "2/a.png"]);
    expect(labelled(folder)).toEqual(["0/a.png 0", "1/a.png 1", "10/a.png 2", "2/a.png 3"]);
    expect(listImages(folder).notes).toEqual([
      `class folders of ${folder} are numbered in the sorted order of their names, as torchvision's ImageFolder does, not ` +
        'by the numbers in them: "10" is class 2, "2" is class 3; with leading zeros, and none missing, both are the same',
    ]);
    rmSync(join(folder, "10"), { recursive: true });
    expect(listImages(folder).notes).toEqual([]);
  });

  test("are sorted by code points, as Python does, whatever their letters", () => {
    plantImages(folder, ["Ämter/x.png", "Zebra/x.png", "\u{1f600}/x.png", "\uff5e/x.png", "ämter/x.png"]);
    expect(listImages(folder).classNames).toEqual(["Zebra", "Ämter", "ämter", "\uff5e", "\u{1f600}"]);
  });

  test("files of formats that are not read are named", () => {
    plantImages(folder, ["a/x.png", ["a/y.heic", ""], ["a/deep/z.svg", ""], ["notes.txt", ""], ["w.PSD", ""]]);
    expect(listImages(folder).notes).toEqual([
      expect.stringMatching(
        /^3 files are of formats that are not read and are left out: w\.PSD, a\/y\.heic, a\/deep\/z\.svg; read are JPEG, /,
      ),
    ]);
    rmSync(join(folder, "a/x.png"));
    expect(() => listImages(folder)).toThrow(
      /has no images; .*found 3 of formats that are not read .*convert them to one of JPEG/,
    );
  });

  test("a link to a folder above is refused instead of followed for ever", () => {
    plantImages(folder, ["a/x.png"]);
    symlinkSync(folder, join(folder, "a", "up"));
    expect(() => listImages(folder)).toThrow(/does a link lead back to a folder above\?/);
  });

  test("images beside them are left out, and that is said", () => {
    plantImages(folder, ["a/x.png", "stray.png"]);
    expect(labelled(folder)).toEqual(["a/x.png 0"]);
    expect(listImages(folder).notes).toEqual([
      expect.stringMatching(/^1 images beside the class folders .*: stray\.png$/),
    ]);
    expect(listImages(folder).leftOut).toEqual(["stray.png"]);
  });

  test("an empty one is refused: it would move the numbers of the others", () => {
    plantImages(folder, ["a/x.png", ["b/readme.txt", ""]]);
    expect(() => listImages(folder)).toThrow(InputError);
    expect(() => listImages(folder)).toThrow(/class folders without images: b; remove them or fill them/);
  });
});

describe("a folder without classes", () => {
  test("is one class, and that is said", () => {
    plantImages(folder, ["b.png", "a.gif", ["list.txt", ""]]);
    expect(labelled(folder)).toEqual(["a.gif 0", "b.png 0"]);
    expect(listImages(folder)).toMatchObject({ numClasses: 1, labelsFrom: "nothing: one class" });
    expect(listImages(folder).notes).toEqual([`${folder} has no class folders: all 2 images are class 0`]);
    rmSync(join(folder, "b.png"));
    plantImages(folder, [["b.heic", ""]]);
    expect(listImages(folder).notes).toEqual([
      `${folder} has no class folders: its image is class 0`,
      expect.stringMatching(/^1 file is of a format that is not read and is left out: b\.heic; read are/),
    ]);
  });

  test.each([
    ["without images", () => mkdirSync(join(folder, "sub")), /has no images; expected files such as NAME\.jpg/],
    ["that does not exist", () => rmSync(folder, { recursive: true }), /no such file or folder/],
  ])("%s is refused", (_name, prepare, message) => {
    prepare();
    expect(() => listImages(folder)).toThrow(InputError);
    expect(() => listImages(folder)).toThrow(message);
    mkdirSync(folder, { recursive: true });
  });
});

describe("a labels file", () => {
  beforeEach(() => plantImages(folder, ["a.png", "sub/b, c.png", "sub/d.png"]));

  test.each([
    ["csv", "l.csv", 'name,label\na.png,3\n"sub/b, c.png",1\n./sub/d.png, 0\n'],
    ["csv without quotes and headings", "l.csv", "a.png,3\r\nsub/b, c.png,1\r\nsub\\d.png,0"],
    ["tsv", "l.tsv", "file\tclass\na.png\t3\nsub/b, c.png\t1\nsub/d.png\t0\n\n"],
    ["json object", "l.json", '{"a.png": 3, "sub/b, c.png": 1, "sub/d.png": "0"}'],
    ["json pairs", "l.json", '{"labels": [["a.png", 3], ["sub/b, c.png", 1], ["sub/d.png", 0]]}'],
  ])("%s", (_kind, name, text) => {
    expect(listWith(name, text)).toEqual(["a.png 3", "sub/b, c.png 1", "sub/d.png 0"]);
  });

  test("with spaces between", () => {
    expect(listWith("val.txt", "a.png 65\nsub/d.png 7\n")).toEqual(["a.png 65", "sub/d.png 7"]);
  });

  test("with names of classes numbers them in sorted order", () => {
    expect(listWith("l.csv", "a.png,zebra\nsub/d.png,ant\n")).toEqual(["a.png 1", "sub/d.png 0"]);
    expect(listImages(folder, join(folder, "l.csv"))).toMatchObject({ numClasses: 2, classNames: ["ant", "zebra"] });
  });

  test("without some images leaves them out, and says so", () => {
    writeFileSync(join(folder, "l.csv"), "a.png,4\n");
    const { names, numClasses, notes } = listImages(folder, join(folder, "l.csv"));
    expect({ names, numClasses }).toEqual({ names: ["a.png"], numClasses: 5 });
    expect(notes).toEqual([
      expect.stringMatching(/^2 images below .* have no label in .*: sub\/b, c\.png, sub\/d\.png$/),
    ]);
  });

  test.each([
    [
      "names missing files",
      "a.png,0\ngone.png,1\nlost.png,1",
      /names 2 images that are not below .*: gone\.png, lost\.png/,
    ],
    ["names one twice", "a.png,0\na.png,1", /line 2: "a\.png" is named twice/],
    [
      "mixes numbers and names",
      "a.png,0\nsub/d.png,cat",
      /line 2: labels are to be all numbers .* found "cat" after "0"/,
    ],
    ["has a line without a label", "a.png,0\nsub/d.png", /line 2: expected "name,label", found "sub\/d\.png"/],
    ["has huge labels", "a.png,99999999999999999999", /line 1: expected a label below 1000000/],
    ["has negative labels", "a.png,-1", /line 1: expected a whole number from 0 on or a name, found "-1"/],
    ["has fractions", "a.png,1.0\nsub/d.png,10.0", /line 1: expected a whole number .* found "1\.0"/],
    ["is empty", "\n", /expected lines "name,label", found none/],
    ["has only headings", "name,label\n", /found none/],
  ])("that %s is refused", (_name, text, message) => {
    expect(() => listWith("l.csv", text)).toThrow(InputError);
    expect(() => listWith("l.csv", text)).toThrow(message);
  });

  test.each([
    ["a number", "3", /expected \{"name": label, …\} .*, found 3/],
    ["nothing", "null", /found null/],
    ["a negative label", '{"a.png": -1}', /entry 1: expected a name and a label.*found \["a\.png",-1\]/],
    ["half a pair", '[["a.png"]]', /entry 1: .*found \["a\.png"\]/],
    ["other things", "[7]", /entry 1: .*found 7/],
    ["no JSON", "{", /expected JSON/],
  ])("of JSON with %s is refused", (_name, text, message) => {
    expect(() => listWith("l.json", text)).toThrow(InputError);
    expect(() => listWith("l.json", text)).toThrow(message);
  });

  test("labels outside the classes of a model are refused", () => {
    expect(listWith("l.csv", "a.png,9", 10)).toEqual(["a.png 9"]);
    expect(listImages(folder, join(folder, "l.csv"), 1000).numClasses).toBe(1000);
    expect(() => listWith("l.csv", "a.png,10", 10)).toThrow(/a\.png: label 10 is outside the classes 0 to 9/);
  });
});

test("the hash of a listing tells names and labels", () => {
  plantImages(folder, ["a/x.png", "b/y.png"]);
  const listing = listImages(folder);
  expect(listingSha256(listing)).toBe(listingSha256(listImages(folder)));
  expect(listingSha256({ ...listing, labels: Int32Array.of(1, 0) })).not.toBe(listingSha256(listing));
  expect(listingSha256({ ...listing, names: ["a/x.png", "b/z.png"] })).not.toBe(listingSha256(listing));
});
