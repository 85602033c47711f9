/** Which images a folder holds, and the class of each: by class folders as in ImageNet, by a labels file, or one for all. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError, quote } from "../../array/input-error.ts";
import { exists, type FolderEntry, isFolder, listFolder, readJson, readText } from "../../storage/read.ts";

export interface ImageListing {
  readonly root: string;
  /** Paths below `root`, with slashes, in a fixed order. */
  readonly names: readonly string[];
  readonly labels: Int32Array; // [names]
  readonly numClasses: number;
  /** By label, where classes have names. */
  readonly classNames?: readonly string[];
  readonly labelsFrom: "class folders" | "labels file" | "nothing: one class";
  /** What a person should know: how classes are numbered where names suggest otherwise, and files that are left out. */
  readonly notes: readonly string[];
  /** Images that are left out because they have no class: in none of the class folders, or not in the labels file. */
  readonly leftOut: readonly string[];
}

/** How files of the formats that are read are called. */
const imageName = /\.(?:jpe?g|jpe|jfif|pjpe?g|a?png|webp|gif|tiff?|avif|bmp|p[bgpn]m)$/i;
/** Formats that are not read: such files are named, not overlooked. */
const unreadName =
  /\.(?:svgz?|hei[cf]|j(?:p2|2k|px|pf|pm|xl|xr)|psd|xcf|eps|ai|ico|tga|exr|hdr|dds|dib|pcx|pam|pfm|qoi|flif|dng|cr[23]|nef|arw|orf|rw2|raf)$/i;

/** A link to a folder above would never end. */
const deepest = 32;

/**
 * The images below `root`, also behind links; names that begin with a dot are passed over. With `labelsFile` those that
 * it names. Else folders are classes, numbered in the sorted order of their names as torchvision's `ImageFolder` does,
 * and if there are none, all images are class 0. `numClasses` is the number that labels must stay below.
 * @throws InputError if this is no folder, there are no images, a class is empty, or labels name missing files or other classes.
 */
export function listImages(root: string, labelsFile?: string, numClasses?: number): ImageListing {
  if (exists(root) && !isFolder(root)) {
    throw new InputError(`${root}: expected a folder of images, found a file; name its folder`);
  }
  const listing = labelsFile === undefined ? byFolders(root) : byLabels(root, labelsFile);
  if (numClasses === undefined) return listing;
  const wrong = listing.labels.findIndex((label) => label >= numClasses);
  if (wrong >= 0) {
    throw new InputError(
      `${join(root, listing.names[wrong]!)}: label ${listing.labels[wrong]} is outside the classes 0 to ${numClasses - 1}`,
    );
  }
  return { ...listing, numClasses };
}

/** SHA-256 of all names and labels. */
export function listingSha256({ names, labels }: ImageListing): string {
  const hash = createHash("sha256");
  for (const [i, name] of names.entries()) hash.update(`${labels[i]}\t${name}\n`);
  return hash.digest("hex");
}

function byFolders(root: string): ImageListing {
  const { images, folders, unread } = contentOf(root);
  const classes = folders.map((name) => ({ name, ...imagesBelow(root, name) }));
  const unreadHere = [...unread, ...classes.flatMap((one) => one.unread)];
  if (classes.every((one) => one.images.length === 0)) {
    if (images.length === 0) throw noImages(root, unreadHere);
    const notes = [
      `${root} has no class folders: ${images.length === 1 ? "its image is" : `all ${images.length} images are`} class 0`,
      ...unreadNotes(unreadHere),
    ];
    const labels = new Int32Array(images.length);
    return { root, names: images, labels, numClasses: 1, labelsFrom: "nothing: one class", notes, leftOut: [] };
  }
  const empty = classes.filter((one) => one.images.length === 0).map(({ name }) => name);
  if (empty.length > 0) {
    throw new InputError(
      `${root}: class folders without images: ${firstOf(empty)}; remove them or fill them, as every folder counts in the numbers of the classes`,
    );
  }
  const besides = `${images.length} images beside the class folders of ${root} belong to no class and are left out`;
  const classNames = classes.map(({ name }) => name);
  return {
    root,
    names: classes.flatMap((one) => one.images),
    labels: Int32Array.from(classes.flatMap((one, label) => one.images.map(() => label))),
    numClasses: classes.length,
    classNames,
    labelsFrom: "class folders",
    notes: [
      ...numberingNotes(root, classNames),
      ...(images.length > 0 ? [`${besides}: ${firstOf(images)}`] : []),
      ...unreadNotes(unreadHere),
    ],
    leftOut: images,
  };
}

/** Folders that are called by numbers, which are not those of their classes: `0`, `1`, `10`, `2`. */
function numberingNotes(root: string, names: readonly string[]): string[] {
  if (!names.every((name) => /^\d+$/.test(name))) return [];
  const moved = names.flatMap((name, label) => (Number(name) === label ? [] : [`"${name}" is class ${label}`]));
  if (moved.length === 0) return [];
  return [
    `class folders of ${root} are numbered in the sorted order of their names, as torchvision's ImageFolder does, not by ` +
      `the numbers in them: ${firstOf(moved)}; with leading zeros, and none missing, both are the same`,
  ];
}

function byLabels(root: string, labelsFile: string): ImageListing {
  const { labels, classNames } = readLabels(labelsFile);
  const { images: present, unread } = imagesBelow(root, "");
  if (present.length === 0) throw noImages(root, unread);
  const names = present.filter((name) => labels.has(name));
  if (names.length < labels.size) {
    const found = new Set(names);
    const missing = [...labels.keys()].filter((name) => !found.has(name));
    throw new InputError(
      `${labelsFile} names ${missing.length} images that are not below ${root}: ${firstOf(missing)}; names are paths below that folder`,
    );
  }
  const others = present.filter((name) => !labels.has(name));
  const left = `${others.length} images below ${root} have no label in ${labelsFile} and are left out`;
  const values = Int32Array.from(names, (name) => labels.get(name)!);
  return {
    root,
    names,
    labels: values,
    numClasses: classNames?.length ?? values.reduce((most, label) => Math.max(most, label), 0) + 1,
    ...(classNames && { classNames }),
    labelsFrom: "labels file",
    notes: [...(others.length > 0 ? [`${left}: ${firstOf(others)}`] : []), ...unreadNotes(unread)],
    leftOut: others,
  };
}

const kindsRead = "JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP, PBM, PGM and PPM";

function noImages(root: string, unread: readonly string[]): InputError {
  const expected = "expected files such as NAME.jpg or NAME.png, in it or in class folders";
  const found = `; found ${unread.length} of formats that are not read (${firstOf(unread)}): convert them to one of ${kindsRead}`;
  return new InputError(`${root} has no images; ${expected}${unread.length > 0 ? found : ""}`);
}

const unreadNotes = (unread: readonly string[]): string[] =>
  unread.length === 0
    ? []
    : [
        `${unread.length === 1 ? "1 file is of a format that is not read and is" : `${unread.length} files are of formats that are not read and are`} left out: ${firstOf(unread)}; read are ${kindsRead}`,
      ];

const firstOf = (names: readonly string[]): string => `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}`;

/** Images directly in a folder, its folders, and files of formats that are not read; each sorted as Python does, by code points. */
function contentOf(path: string): { images: string[]; folders: string[]; unread: string[] } {
  const [images, folders, unread]: [string[], string[], string[]] = [[], [], []];
  for (const entry of listFolder(path).filter(({ name }) => !name.startsWith("."))) {
    const isOne = entry.kind === "folder" || (entry.kind === "other" && leadsToFolder(path, entry));
    if (isOne) folders.push(entry.name);
    else if (imageName.test(entry.name)) images.push(entry.name);
    else if (unreadName.test(entry.name)) unread.push(entry.name);
  }
  for (const names of [images, folders, unread]) names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return { images, folders, unread };
}

/** Whether a link is one to a folder. */
function leadsToFolder(path: string, { name }: FolderEntry): boolean {
  try {
    listFolder(join(path, name));
    return true;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** Paths below `root` of all images in its folder `below`, at any depth, and of files of formats that are not read. */
function imagesBelow(root: string, below: string, depth = 1): { images: string[]; unread: string[] } {
  if (depth > deepest) {
    throw new InputError(`${join(root, below)}: folders ${deepest} deep; does a link lead back to a folder above?`);
  }
  const { images, folders, unread } = contentOf(join(root, below));
  const inside = (name: string) => (below === "" ? name : `${below}/${name}`);
  const deeper = folders.map((name) => imagesBelow(root, inside(name), depth + 1));
  return {
    images: [...images.map(inside), ...deeper.flatMap((one) => one.images)],
    unread: [...unread.map(inside), ...deeper.flatMap((one) => one.unread)],
  };
}

/** Classes by file name, and what the classes are called if the file says it by name. */
interface NamedLabels {
  /** From the name in the file, with slashes and without a leading `./`, to its label. */
  readonly labels: ReadonlyMap<string, number>;
  /** Sorted, so that the place of a name is its label; absent where the file has numbers. */
  readonly classNames?: readonly string[];
}

/** More would not be a class but a mistake. */
const mostClasses = 1_000_000;

interface Line {
  readonly name: string;
  /** As the file has it. */
  readonly label: string;
  /** For messages. */
  readonly where: string;
}

/**
 * Reads `name,label` lines (also with a tab or spaces between, with or without a line of headings), or JSON: an object
 * `{"name": label}`, an array of `["name", label]` pairs, or either under `"labels"`. Labels are all numbers from 0 on,
 * or all names, which are numbered in their sorted order.
 * @throws InputError naming the line.
 */
function readLabels(path: string): NamedLabels {
  const lines = /\.json$/i.test(path) ? jsonLines(path) : textLines(path);
  if (lines.length === 0) throw new InputError(`${path}: expected lines "name,label", found none`);
  const number = /^\d+$/;
  const isNumbered = number.test(lines[0]!.label);
  const other = lines.find(({ label }) => number.test(label) !== isNumbered);
  if (other) {
    throw new InputError(
      `${other.where}: labels are to be all numbers from 0 on or all names, found "${other.label}" after "${lines[0]!.label}"`,
    );
  }
  const odd = lines.find(({ label }) => /^[-+\d.][\d.]*(?:e[-+]?\d+)?$/i.test(label) && !number.test(label));
  if (odd) throw new InputError(`${odd.where}: expected a whole number from 0 on or a name, found "${odd.label}"`);
  const classNames = isNumbered ? [] : [...new Set(lines.map(({ label }) => label))].sort();
  const labelOf = new Map(classNames.map((name, label) => [name, label]));
  const labels = new Map<string, number>();
  for (const { name, label, where } of lines) {
    const value = labelOf.get(label) ?? Number(label);
    if (value >= mostClasses) throw new InputError(`${where}: expected a label below ${mostClasses}, found ${label}`);
    if (labels.has(name)) throw new InputError(`${where}: "${name}" is named twice; keep one of the lines`);
    labels.set(name, value);
  }
  return isNumbered ? { labels } : { labels, classNames };
}

const plainName = (name: string): string => name.replaceAll("\\", "/").replace(/^(?:\.\/)+/, "");

function textLines(path: string): Line[] {
  const lines = readText(path).split(/\r\n|\n|\r/);
  return lines.flatMap((line, number): Line[] => {
    const where = `${path}, line ${number + 1}`;
    if (line.trim() === "") return [];
    const between = line.includes("\t") ? /\t/g : line.includes(",") ? /,/g : /\s+/g;
    const last = [...line.trimEnd().matchAll(between)].at(-1);
    const name = last && plainName(unquoted(line.slice(0, last.index)));
    const label = last && unquoted(line.slice(last.index + last[0].length));
    if (!name || !label) throw new InputError(`${where}: expected "name,label", found "${line.trim().slice(0, 100)}"`);
    if (number === 0 && !/\.\w+$/.test(name)) return []; // headings: every image has an extension
    return [{ name, label, where }];
  });
}

/** A field of a CSV line, with the quotes around it taken off. */
function unquoted(field: string): string {
  const text = field.trim();
  return /^".*"$/.test(text) && text.length > 1 ? text.slice(1, -1).replaceAll('""', '"') : text;
}

function jsonLines(path: string): Line[] {
  const root = readJson(path);
  const isObject = typeof root === "object" && root !== null && !Array.isArray(root);
  const held: unknown = isObject && "labels" in root ? root.labels : root;
  if (typeof held !== "object" || held === null) {
    throw new InputError(`${path}: expected {"name": label, …} or [["name", label], …], found ${quote(held)}`);
  }
  const pairs: unknown[] = Array.isArray(held) ? held : Object.entries(held);
  return pairs.map((pair, number) => {
    const where = `${path}, entry ${number + 1}`;
    const [name, label] = Array.isArray(pair) ? (pair as unknown[]) : [];
    const isLabel = typeof label === "string" ? label !== "" : Number.isSafeInteger(label) && Number(label) >= 0;
    if (typeof name !== "string" || name === "" || !isLabel) {
      throw new InputError(`${where}: expected a name and a label, a number from 0 on or a name; found ${quote(pair)}`);
    }
    return { name: plainName(name), label: String(label), where };
  });
}
