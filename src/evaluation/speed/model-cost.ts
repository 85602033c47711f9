/** What a model costs: parameters and multiply-accumulates (MACs) by its shapes, or counted while it runs. */
import { sizeOf } from "../../array/ndarray.ts";
import type { CompileOptions, Engine, Inputs, Program } from "../../engine/engine.ts";
import { input } from "../../graph/build.ts";
import { nodesOf, symbolSources } from "../../graph/graph.ts";
import { graphCost } from "../../graph/graph-cost.ts";
import { simplify } from "../../graph/simplify.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { tokenCount } from "../../models/family.ts";
import { type MarConfig, tokenSize } from "../../models/mar/config.ts";
import { mar } from "../../models/mar/mar.ts";
import { tokenDenoiser } from "../../models/mar/token-denoiser.ts";
import { type Model, predictor } from "../../models/registry.ts";
import { Params } from "../../nn/params.ts";
import type { RunBlock } from "../../nn/run-block.ts";

export interface ModelCost {
  /** Numbers in the weights that are used: without those of blocks that do not run. */
  readonly parameters: number;
  /**
   * MACs of one denoiser evaluation of one image, without guidance, in matrix products and convolutions: what the DiT
   * paper calls Gflops (118.6 G for DiT-XL/2). Of a MAR: its transformer with all tokens visible; fewer cost less.
   */
  readonly macs: number;
  /** MAR: MACs of one denoising step of one token. */
  readonly headMacs?: number;
}

/** The cost of a model, of some of its blocks where `runBlock` skips others. */
export function modelCost(model: Model, runBlock?: RunBlock): ModelCost {
  return model.family.process === "tokens" ? tokenModelCost(model, runBlock) : denoiserCost(model, runBlock);
}

/** Two rows, as no graph has one. */
const ROWS = 2;

const macsOf = (out: Tensor): number =>
  // Simplified, as it is run: both branches of a block write down the block's modulation.
  graphCost(simplify({ outputs: { out } }), (name) => {
    throw new TypeError(`model cost: the size ${name} is not known`);
  }).flops /
  2 /
  ROWS;

const parametersOf = (p: Params): number => p.specs().reduce((total, { shape }) => total + sizeOf(shape), 0);

function denoiserCost(model: Model, runBlock: RunBlock | undefined): ModelCost {
  const { inChannels, inputSize } = model.config;
  const p = new Params();
  const out = predictor(
    model,
    p,
    runBlock,
  )({
    x: input("x", [ROWS, inChannels, inputSize, inputSize]),
    t: input("t", [ROWS]),
    y: input("y", [ROWS], "int32"),
  });
  return { parameters: parametersOf(p), macs: macsOf(out) };
}

function tokenModelCost({ config: of }: Model, runBlock: RunBlock | undefined): ModelCost {
  const config = of as unknown as MarConfig;
  const p = new Params();
  const tokens = input("tokens", [ROWS, tokenCount(config), tokenSize(config)]);
  const visible = input("visible", [ROWS, config.bufferSize + tokenCount(config)], "int32");
  const z = mar(p, config, { tokens, visible, y: input("y", [ROWS], "int32") }, runBlock);
  const head = tokenDenoiser(p, config, {
    x: input("x", [ROWS, tokenSize(config)]),
    t: input("t", [ROWS]),
    z: input("z", [ROWS, config.decoderSize]),
  });
  return { parameters: parametersOf(p), macs: macsOf(z), headMacs: macsOf(head) };
}

/** What all programs have run so far. */
export interface RunCount {
  /** Runs of all programs with a product; arithmetic on states has none. */
  runs: number;
  /** Multiply-accumulates of their matrix products and convolutions. */
  macs: number;
}

export interface CountingEngine extends Engine {
  readonly count: RunCount;
}

/** `engine`, with a count of its own: sizes that are known only at a run are taken from what the run is fed. */
export function countingEngine(engine: Engine): CountingEngine {
  const count: RunCount = { runs: 0, macs: 0 };
  return {
    ...engine,
    count,
    async compile(graph, options?: CompileOptions): Promise<Program> {
      const program = await engine.compile(graph, options);
      const merged = simplify(graph); // what is written twice is computed once
      const sources = symbolSources(nodesOf(Object.values(merged.outputs)));
      const known = new Map<string, number>();
      const macsFor = (feeds: Inputs): number => {
        const sizes = new Map(Array.from(sources, ([name, { input, axis }]) => [name, sizeFed(feeds, input, axis)]));
        const key = [...sizes.values()].join();
        if (!known.has(key)) known.set(key, graphCost(merged, (name) => sizes.get(name)!).flops / 2);
        return known.get(key)!;
      };
      return {
        run(inputs) {
          const macs = macsFor(inputs);
          count.macs += macs;
          if (macs > 0) count.runs++;
          return program.run(inputs);
        },
        release: () => program.release(),
      };
    },
  };
}

type Source = { readonly attributes: { readonly name: string } };

const sizeFed = (feeds: Inputs, { attributes }: Source, axis: number): number => feeds[attributes.name]!.shape[axis]!;
