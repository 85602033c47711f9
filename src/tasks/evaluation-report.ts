/** The report of an evaluation: scores with what they depend on, warnings, images, near copies, and every setting. */
import type { NDArray } from "../array/ndarray.ts";
import type { ImageSet } from "../data/images/image-set.ts";
import { unitImages } from "../data/images/prepare-images.ts";
import { resample } from "../data/images/resample.ts";
import { networkText, type Reference } from "../evaluation/reference/reference.ts";
import type { Evaluation, Memorisation, Score } from "../evaluation/scores/evaluation.ts";
import { encodePng, imageGrid } from "../formats/image-bytes.ts";
import { htmlPage, pngDataUri, type Section } from "../report/page.ts";
import type { ModelFile } from "../weights/model-file.ts";

export interface ReportRequest {
  readonly evaluation: Evaluation;
  readonly images: ImageSet;
  readonly reference: Reference;
  /** Versions, machine, date, settings of the task. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The command line that makes this page again. */
  readonly command: string | undefined;
}

/** A score with its error: `5.73 ± 0.04`. */
export function scoreText({ value, standardError, key }: Score): string {
  const isShare = key === "precision" || key === "recall" || key === "labelAccuracy";
  const digits = isShare ? 1 : Math.abs(value) < 0.1 ? 5 : Math.abs(value) < 1 ? 4 : 2;
  const text = (x: number) => (isShare ? 100 * x : x).toFixed(digits);
  const unit = isShare ? "%" : "";
  return standardError === undefined ? `${text(value)}${unit}` : `${text(value)} ± ${text(standardError)}${unit}`;
}

/** The whole page as HTML. */
export async function evaluationReport(request: ReportRequest): Promise<string> {
  const { evaluation, images, settings, command } = request;
  const { scores, warnings, samples, reference, network } = evaluation;
  const [first] = scores;
  const origin = images.origin as Origin | undefined;
  const scoreRows = scores.map((score) => {
    return [score.name, scoreText(score), score.key === "floor" ? "" : score.better, score.detail];
  });
  const warningRows = warnings.map((line) => [line]);
  const sections: Section[] = [
    {
      ...table("Numbers", ["metric", "value", "better", "what it depends on"], scoreRows),
      caption: `Features: ${networkText(network)}.`,
    },
    ...(warnings.length > 0 ? [table("Before you compare", ["what to know"], warningRows)] : []),
    ...(origin ? [table("The model and its sampling", ["what", "value"], originRows(origin))] : []),
    await sampleGrid(images),
    ...(await memorisation(request)),
    table("Checks of the numbers themselves", ["check", "found", "expected"], checkRows(evaluation)),
    table("Everything that decides the numbers", ["setting", "value"], flattened({ network, reference, ...settings })),
    ...(command ? [{ heading: "The same again", kind: "commands", lines: [command] } as const] : []),
  ];
  return htmlPage({
    title: `How good are the images of ${origin?.modelFile?.path ?? samples.name}?`,
    lead: `${first!.name} ${scoreText(first!)} over ${samples.count} images, against ${reference.name}.`,
    sections,
  });
}

const table = (heading: string, columns: readonly string[], rows: readonly (readonly string[])[]) =>
  ({ heading, kind: "table", columns, rows }) as const;

const GRID = 64;
const COLUMNS = 8;

async function sampleGrid(images: ImageSet): Promise<Section> {
  const step = Math.max(1, Math.floor(images.count / GRID));
  const shown: RgbImage[] = [];
  for (let i = 0; i < Math.min(GRID, images.count); i++) shown.push(await imageAt(images, i * step));
  const caption =
    step > 1
      ? `The first image of every ${step}, from the first on, of ${images.count}; none was chosen.`
      : `The first ${shown.length} of ${images.count} images.`;
  return { heading: "Samples", kind: "figure", ...grid(shown, COLUMNS, "a grid of samples"), caption };
}

async function memorisation({ evaluation, images, reference }: ReportRequest): Promise<Section[]> {
  const found = evaluation.memorisation;
  if (!found) return [];
  const text: Section = { heading: "Copies of the reference?", kind: "text", text: memorisationText(found) };
  if (!reference.pictures) return [text];
  const pairs = await closestPairs(found, images, reference.pictures);
  const figure = grid(
    pairs,
    2 * Math.min(PAIRS, found.closest.length),
    "samples beside their nearest reference images",
  );
  const caption = "The samples nearest to a reference image of all, each with that image on its right.";
  return [text, { kind: "figure", ...figure, caption }];
}

const PAIRS = 4;

function memorisationText({ medianToReference, medianWithinReference, suspiciousShare }: Memorisation): string {
  return (
    `The nearest reference image is ${medianToReference.toPrecision(3)} away from a sample (median of feature distances); ` +
    `reference images are ${medianWithinReference.toPrecision(3)} away from each other. ` +
    `${(100 * suspiciousShare).toFixed(2)}% of the samples are nearer to a reference image than 99% of reference images ` +
    "are to each other: about 1% is what new images of the same kind would show."
  );
}

/** Sample, reference image, sample, reference image …, all of the size of the reference's stored images. */
async function closestPairs({ closest }: Memorisation, images: ImageSet, pictures: NDArray<"uint8">) {
  const [, height = 0, width = 0] = pictures.shape;
  const cells: RgbImage[] = [];
  for (const { sample, reference } of closest) {
    cells.push(resample(await imageAt(images, sample), width, height, "box"));
    cells.push(pictures.rows(reference, reference + 1).reshape([height, width, 3]));
  }
  return cells;
}

/** [H, W, 3] */
type RgbImage = NDArray<"uint8">;

const imageAt = async (images: ImageSet, at: number): Promise<RgbImage> =>
  (await images.read(at, 1)).reshape([images.height, images.width, 3]);

/** Images of one size as one embedded image. */
function grid(images: readonly RgbImage[], columns: number, alt: string) {
  const isSmall = images[0]!.shape[0]! < 64;
  const png = imageGrid(unitImages(images), columns, { scale: isSmall ? 2 : 1 });
  return { image: pngDataUri(encodePng(png)), alt, isPixelArt: isSmall };
}

function checkRows({ checks: { referenceToItself, swapDifference, clippedEigenvalues } }: Evaluation) {
  const row = (check: string, found: number) => [check, found.toExponential(1), "0 but for rounding"];
  return [
    row("Fréchet distance of the reference to itself", referenceToItself),
    row("difference if samples and reference change places", swapDifference),
    row("sum of negative eigenvalues, set to 0", clippedEigenvalues),
  ];
}

/** What a reader asks first about a model's numbers. */
function originRows({ modelFile, sampling, settings, process, labels }: Origin): [string, string][] {
  const { path, weights, images, prunings = [], config } = modelFile ?? {};
  const kept = prunings.map((one) => `${one.kept.length} of ${one.parentDepth}`).join(", then ");
  const rows: [string, string | undefined][] = [
    ["model", path],
    ["weights", weights === "ema" ? "averaged (EMA)" : weights],
    ["images seen in training", images?.toLocaleString("en")],
    ["blocks", config && `${config.depth}${kept ? `: kept ${kept}` : ""}`],
    ["process", inWords(process)],
    ["sampling", inWords(sampling ?? settings)],
    ["labels", inWords(labels)],
  ];
  return rows.filter((row): row is [string, string] => row[1] !== undefined);
}

/** `{ steps: "ddim25", cfgScale: 2 }` → "steps ddim25, cfgScale 2". */
const inWords = (value: object | undefined): string | undefined =>
  value &&
  flattened(value)
    .map((parts) => parts.join(" "))
    .join(", ");

/** What `generate` and `sample` record. */
interface Origin {
  readonly modelFile?: Partial<Pick<ModelFile, "path" | "weights" | "images" | "prunings">> & {
    readonly config?: { depth: number };
  };
  readonly sampling?: object;
  readonly settings?: object;
  readonly process?: object;
  readonly labels?: object;
}

/** `{ a: { b: 1 } }` → `["a.b", "1"]`. */
function flattened(value: unknown, name = ""): [string, string][] {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isRecord) return [[name, typeof value === "string" ? value : JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) => flattened(inner, name === "" ? key : `${name}.${key}`));
}
