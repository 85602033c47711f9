/** Which images a folder holds, and the class of each: by class folders as in ImageNet, by a labels file, or one for all. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { InputError } from "../../array/input-error.ts";
import { type FolderEntry, listFolder } from "../../storage/read.ts";
import { readLabels } from "./labels-file.ts";

export interface ImageListing {
  readonly root: string;
  /** Paths below `root`, with slashes, in a fixed order. */
  readonly names: readonly string[];
  readonly labels: Int32Array; // [names]
  readonly numClasses: number;
  /** By label, where classes have names. */
  readonly classNames?: readonly string[];
  readonly labelsFrom: "class folders" | "labels file" | "nothing: one class";
  /** What a person should know about files that are not in the listing. */
  readonly notes: readonly string[];
}

/** How image files are called. Some of these are no format we read: then the file is reported, not overlooked. */
const imageName = /\.(?:jpe?g|jpe|jfif|png|webp|gif|tiff?|bmp|p[bgp]m)$/i;

/** A link to a folder above would go on for ever. */
const deepest = 32;

/**
 * The images below `root`, also behind links; names that begin with a dot are passed over. With `labelsFile` those that
 * it names. Else folders are classes, numbered in the sorted order of their names as torchvision's `ImageFolder` does,
 * and if there are none, all images are class 0. `numClasses` is the number that labels must stay below.
 * @throws InputError if there are no images, a class is empty, or labels name missing files or other classes.
 */
export function listImages(root: string, labelsFile?: string, numClasses?: number): ImageListing {
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
  const { images, folders } = contentOf(root);
  const classes = folders.map((name) => ({ name, images: imagesBelow(root, name) }));
  if (classes.every((one) => one.images.length === 0)) {
    if (images.length === 0) throw noImages(root);
    const notes = [`${root} has no class folders: all ${images.length} images are class 0`];
    const labels = new Int32Array(images.length);
    return { root, names: images, labels, numClasses: 1, labelsFrom: "nothing: one class", notes };
  }
  const empty = classes.filter((one) => one.images.length === 0).map(({ name }) => name);
  if (empty.length > 0) {
    throw new InputError(
      `${root}: class folders without images: ${firstOf(empty)}; remove them or fill them, as every folder counts in the numbers of the classes`,
    );
  }
  const besides = `${images.length} images beside the class folders of ${root} belong to no class and are left out`;
  return {
    root,
    names: classes.flatMap((one) => one.images),
    labels: Int32Array.from(classes.flatMap((one, label) => one.images.map(() => label))),
    numClasses: classes.length,
    classNames: classes.map(({ name }) => name),
    labelsFrom: "class folders",
    notes: images.length > 0 ? [`${besides}: ${firstOf(images)}`] : [],
  };
}

function byLabels(root: string, labelsFile: string): ImageListing {
  const { labels, classNames } = readLabels(labelsFile);
  const present = imagesBelow(root, "");
  if (present.length === 0) throw noImages(root);
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
    ...{ root, names, labels: values },
    numClasses: classNames?.length ?? values.reduce((most, label) => Math.max(most, label), 0) + 1,
    ...(classNames && { classNames }),
    labelsFrom: "labels file",
    notes: others.length > 0 ? [`${left}: ${firstOf(others)}`] : [],
  };
}

const noImages = (root: string): InputError =>
  new InputError(`${root} has no images; expected files such as NAME.jpg or NAME.png, in it or in class folders`);

const firstOf = (names: readonly string[]): string => `${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}`;

/** Images directly in a folder, and its folders; both sorted. */
function contentOf(path: string): { images: string[]; folders: string[] } {
  const [images, folders]: [string[], string[]] = [[], []];
  for (const entry of listFolder(path).filter(({ name }) => !name.startsWith("."))) {
    const isFolder = entry.kind === "folder" || (entry.kind === "other" && leadsToFolder(path, entry));
    if (isFolder) folders.push(entry.name);
    else if (imageName.test(entry.name)) images.push(entry.name);
  }
  return { images, folders };
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

/** Paths below `root` of all images in its folder `below`, at any depth. */
function imagesBelow(root: string, below: string, depth = 1): string[] {
  if (depth > deepest) {
    throw new InputError(`${join(root, below)}: folders ${deepest} deep; does a link lead back to a folder above?`);
  }
  const { images, folders } = contentOf(join(root, below));
  const inside = (name: string) => (below === "" ? name : `${below}/${name}`);
  return [...images.map(inside), ...folders.flatMap((name) => imagesBelow(root, inside(name), depth + 1))];
}
