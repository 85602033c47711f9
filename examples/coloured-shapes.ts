/**
 * A folder of colour images to train on: circles, squares, triangles, stars and crosses, one class folder for each.
 * `node --import tsx examples/coloured-shapes.ts shapes 2000` writes it; the same numbers give the same images.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { uniforms } from "../src/array/random.ts";

/** Side of the images that are written. */
const SIDE = 64;
const colours = ["#d62f2f", "#2f7fd6", "#2fa84f", "#e0a81c", "#8a3fc0", "#e06a1c"] as const;
const grounds = ["#fbf6ec", "#e6eef5", "#20242c"] as const;

/** Corners of a polygon around 0, in units of its radius. */
const polygon = (radii: readonly number[], turn = 0): string =>
  radii
    .map((radius, i) => {
      const angle = 2 * Math.PI * (i / radii.length) - Math.PI / 2 + turn;
      return `${(radius * Math.cos(angle)).toFixed(3)},${(radius * Math.sin(angle)).toFixed(3)}`;
    })
    .join(" ");

/** The shapes by the names of their class folders, drawn around 0 with radius 1. */
export const shapes = {
  circle: '<circle r="0.9"/>',
  cross: '<path d="M-1-.36H-.36V-1H.36V-.36H1V.36H.36V1H-.36V.36H-1z"/>',
  square: '<rect x="-0.85" y="-0.85" width="1.7" height="1.7"/>',
  star: `<polygon points="${polygon([1.25, 0.58, 1.25, 0.58, 1.25, 0.58, 1.25, 0.58, 1.25, 0.58])}"/>`,
  triangle: `<polygon points="${polygon([1.1, 1.1, 1.1])}"/>`,
} as const;

type Shape = keyof typeof shapes;
const names = Object.keys(shapes) as Shape[];

function drawing(shape: Shape, number: number): string {
  const key = { seed: 0, purpose: "shape", step: 0, index: number };
  const [colour, ground, x, y, size, turn] = uniforms(key, 6) as unknown as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const place = [x, y].map((u) => SIDE * (0.5 + 0.1 * (u - 0.5))).join(" ");
  const scale = SIDE * (0.33 + 0.06 * size);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${SIDE}" height="${SIDE}">
    <rect width="100%" height="100%" fill="${grounds[Math.floor(grounds.length * ground)]}"/>
    <g transform="translate(${place}) rotate(${12 * (turn - 0.5)}) scale(${scale})"
       fill="${colours[Math.floor(colours.length * colour)]}">${shapes[shape]}</g></svg>`;
}

/** Writes `count` images, the shapes in turn, as `FOLDER/SHAPE/0000.png`. */
export async function writeShapes(folder: string, count: number): Promise<void> {
  for (const shape of names) mkdirSync(join(folder, shape), { recursive: true });
  for (let number = 0; number < count; number++) {
    const shape = names[number % names.length]!;
    const png = await sharp(Buffer.from(drawing(shape, number)))
      .removeAlpha()
      .png()
      .toBuffer();
    writeFileSync(join(folder, shape, `${String(number).padStart(4, "0")}.png`), png);
  }
}

if (import.meta.filename === process.argv[1]) {
  const [folder, count = "2000"] = process.argv.slice(2);
  if (folder === undefined) throw new Error("expected a folder: coloured-shapes.ts FOLDER [COUNT]");
  await writeShapes(folder, Number(count));
  console.log(`${count} images of ${names.join(", ")} in ${folder}`);
}
