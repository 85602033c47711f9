import { decode } from "fast-png";
import { expect, test } from "vitest";
import { drawSvg } from "../../../src/data/images/draw-svg.ts";

const svg = (body: string) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20">${body}</svg>`;

test("a drawing becomes a picture of the asked width, with a margin, in the colours it falls back to", async () => {
  const bytes = await drawSvg(svg(`<rect x="0" y="0" width="20" height="20" fill="var(--c0,#ff0000)"/>`), 640);
  const { width, height, data, channels } = decode(bytes);
  expect([width, height]).toEqual([640, 20 + 300 + 20]);
  const pixel = (x: number, y: number) => [
    ...data.subarray((y * width + x) * channels, (y * width + x) * channels + 3),
  ];
  const paper = [0xfc, 0xfb, 0xf8];
  expect(pixel(5, 5)).toEqual(paper);
  expect(pixel(100, 150)).toEqual([255, 0, 0]);
  expect(pixel(500, 150)).toEqual(paper);
});

test("text that is no drawing is refused", async () => {
  await expect(drawSvg("a picture", 100)).rejects.toThrow(/expected an SVG drawing, found something else/);
});
