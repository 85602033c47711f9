/** Images to latents and back with an engine. N images, Z latent channels, f pixels along the side of a latent's element. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import { decoder, encoder } from "../../models/autoencoder/autoencoder.ts";
import { type AutoencoderConfig, latentStride } from "../../models/autoencoder/config.ts";
import { storedAutoencoder } from "../../weights/autoencoder-file.ts";
import { openWeights } from "../../weights/open-weights.ts";
import { readWeights } from "../../weights/read-weights.ts";
import { type Posterior, posteriorOf, unscaledLatents } from "./posterior.ts";
import { SizedPrograms } from "./sized-programs.ts";
import { inTiles } from "./tiles.ts";

type Images = NDArray<"float32">; // [N, C, H, W]

export interface CodingOptions {
  /**
   * Images larger than the configuration's `sampleSize` are computed in tiles of that size: bounded memory, and other
   * numbers, since no tile sees the whole. Default false.
   */
  readonly tiled?: boolean;
}

/** Pixels of one run, about: more rows make a run no faster, and only take memory. */
const PIXELS_PER_RUN = 128 ** 2;
const MOST_ROWS = 8;

const rowsFor = (pixels: number): number => Math.max(1, Math.min(MOST_ROWS, Math.floor(PIXELS_PER_RUN / pixels)));

/** An autoencoder that is ready to run. Its weights stay in memory once; sessions come and go with the sizes of images. */
export class Autoencoder {
  readonly config: AutoencoderConfig;
  readonly #encoder: SizedPrograms;
  readonly #decoder: SizedPrograms;

  constructor(engine: Engine, { config, weights }: Pick<LoadedAutoencoder, "config" | "weights">) {
    const stride = latentStride(config);
    this.config = config;
    this.#encoder = new SizedPrograms(
      engine,
      (p, x) => encoder(p, config, x),
      weights,
      (height, width) => rowsFor(height * width),
    );
    this.#decoder = new SizedPrograms(
      engine,
      (p, z) => decoder(p, config, z),
      weights,
      (height, width) => rowsFor(height * width * stride ** 2),
    );
  }

  /**
   * The posterior of images [N, C, H, W] in [−1, 1], not scaled; `drawLatents` or `scaledLatents` make latents of it.
   * @throws InputError for images with other channels, or of a size that latents do not divide.
   */
  async encode(images: Images, { tiled = false }: CodingOptions = {}): Promise<Posterior> {
    const { inChannels, sampleSize } = this.config;
    const stride = latentStride(this.config);
    const [n, channels, height, width] = images.shape as readonly [number, number, number, number];
    const divides = height % stride === 0 && width % stride === 0;
    if (images.shape.length !== 4 || n === 0 || channels !== inChannels || !divides) {
      throw new InputError(
        `the autoencoder encodes one or more images [N, ${inChannels}, H, W] with H and W multiples of ${stride}, got [${images.shape}]`,
      );
    }
    const compute = (x: Images) => this.#encoder.run(x);
    const inParts = tiled && Math.max(height, width) > sampleSize;
    return posteriorOf(
      await (inParts
        ? inTiles(images, { input: sampleSize, output: tileLatents(this.config) }, compute)
        : compute(images)),
    );
  }

  /**
   * Images [N, C, H, W], about [−1, 1], of latents [N, Z, H/f, W/f] on the scale of models.
   * @throws InputError for latents with other channels.
   */
  async decode(latents: Images, { tiled = false }: CodingOptions = {}): Promise<Images> {
    const { latentChannels, sampleSize } = this.config;
    const [n, channels, height, width] = latents.shape as readonly [number, number, number, number];
    if (latents.shape.length !== 4 || n === 0 || channels !== latentChannels) {
      throw new InputError(
        `the autoencoder decodes one or more latents [N, ${latentChannels}, H, W], got [${latents.shape}]`,
      );
    }
    const z = unscaledLatents(latents, this.config);
    const compute = (x: Images) => this.#decoder.run(x);
    const inParts = tiled && Math.max(height, width) * latentStride(this.config) > sampleSize;
    return inParts ? inTiles(z, { input: tileLatents(this.config), output: sampleSize }, compute) : compute(z);
  }

  /** Gives back the memory of the sessions; a later call compiles anew. */
  async release(): Promise<void> {
    await this.#encoder.release();
    await this.#decoder.release();
  }
}

/** Latents along the side of a tile. @throws InputError if a quarter of it is not a whole number. */
export function tileLatents(config: AutoencoderConfig): number {
  const latents = config.sampleSize / latentStride(config);
  if (latents % 4 === 0) return latents;
  const smallest = 4 * latentStride(config);
  throw new InputError(
    `tiles overlap by a quarter: sampleSize ${config.sampleSize} is no multiple of ${smallest}; ` +
      "compute untiled, without `tiled`",
  );
}

/** An autoencoder in memory. */
export interface LoadedAutoencoder {
  readonly config: AutoencoderConfig;
  /** By diffusers' present names. */
  readonly weights: ReadonlyMap<string, NDArray<"float32">>;
  /** What else the file holds, as parts with numbers of weights: `loss (24)`. */
  readonly others: readonly string[];
}

/**
 * The autoencoder of a weights file of any format, or of diffusers' `vae` folder with its `config.json`; `given` goes
 * before both.
 * @throws InputError for damaged files, a configuration that is not known, or weights that do not fit it.
 */
export async function loadAutoencoder(path: string, given?: AutoencoderConfig): Promise<LoadedAutoencoder> {
  const { config, tensors, others } = storedAutoencoder(await openWeights(path, { part: "autoencoder" }), given);
  return { config, weights: await readWeights(tensors), others };
}
