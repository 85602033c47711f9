/**
 * Metrics at the size of Inception's features: 2048 of each image. Targets on two cores: covariance of 50,000 images ≤ 20 s,
 * Fréchet distance from mean and covariance ≤ 15 s, precision and recall of 10,000 against 10,000 ≤ 120 s and ≤ 3 GB.
 * `--only covariance,frechet,manifolds,kernel` picks some; each alone tells its own peak memory.
 */
import { float32, type NDArray } from "../src/array/ndarray.ts";
import { normalsInto } from "../src/array/random.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { frechetTo } from "../src/evaluation/metrics/frechet.ts";
import { GaussianAccumulator, type GaussianStats, gaussianStats } from "../src/evaluation/metrics/gaussian-stats.ts";
import { kernelDistanceJackknife, medianKernel } from "../src/evaluation/metrics/kernel-distance.ts";
import { openMetricKernels } from "../src/evaluation/metrics/kernels.ts";
import { precisionRecall } from "../src/evaluation/metrics/precision-recall.ts";
import { flag, machine, peakGigabytes } from "./measure.ts";

const D = Number(flag("width", "2048"));
const [rows, manifoldRows] = [Number(flag("rows", "50000")), Number(flag("manifold-rows", "10000"))];
const only = flag("only", "covariance,frechet,manifolds,kernel").split(",");
const kernels = openMetricKernels(cpuEngine({ threads: Number(flag("threads", "2")) }));

/** Like pooled features: not negative, of very different spread, neighbours correlated. */
function features(n: number, seed: number): NDArray<"float32"> {
  const values = new Float32Array(n * D);
  normalsInto(values, { seed, purpose: "bench features", step: 0, index: 0 });
  for (let i = n * D - 1; i > 0; i--) {
    const scale = 0.1 + 0.4 * (((i % D) * 37) % 11 === 0 ? 2 : 0.5);
    values[i] = Math.max(0, 0.4 + 0.02 * seed + scale * (0.8 * values[i]! + 0.6 * values[i - 1]!));
  }
  return float32(values, [n, D]);
}

async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
  const start = performance.now();
  const result = await run();
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${what}: ${seconds} s, peak memory so far ${peakGigabytes()?.toFixed(2)} GB`);
  return result;
}

/** Statistics of `n` images that come a thousand at a time, made anew from 4,000 so that they need no memory. */
async function streamed(n: number): Promise<GaussianStats> {
  const pool = features(4000, 1);
  return timed(`covariance of ${n} × ${D} (target ≤ 20 s)`, async () => {
    const accumulator = new GaussianAccumulator(kernels, D);
    for (let first = 0; first < n; first += 1000) {
      const start = first % 4000;
      await accumulator.add(pool.rows(start, start + Math.min(1000, n - first)));
    }
    return (await accumulator.finish()).all;
  });
}

console.log(machine());
if (only.includes("covariance")) await streamed(rows);
if (only.includes("frechet")) {
  const [a, b] = [await gaussianStats(kernels, features(4000, 1)), await gaussianStats(kernels, features(4000, 2))];
  const distanceTo = await timed(`factor of Σ₁, ${D} × ${D}`, () => frechetTo(kernels, a));
  const { distance } = await timed("Fréchet distance with that factor (target of both ≤ 15 s)", () => distanceTo(b));
  console.log(`  distance ${distance.toFixed(4)}`);
}
if (only.includes("manifolds")) {
  const [a, b] = [features(manifoldRows, 1), features(manifoldRows, 2)];
  const what = `precision and recall of ${manifoldRows} × ${manifoldRows} × ${D} (target ≤ 120 s, ≤ 3 GB)`;
  const { precision, recall } = await timed(what, () => precisionRecall(kernels, a, b));
  console.log(`  precision ${precision.toFixed(4)}, recall ${recall.toFixed(4)}`);
}
if (only.includes("kernel")) {
  const [a, b] = [features(manifoldRows, 1), features(manifoldRows, 2)];
  const kernel = medianKernel(a);
  const what = `kernel distance of ${manifoldRows} × ${manifoldRows} × ${D}, with its standard error`;
  const { estimate, standardError } = await timed(what, () => kernelDistanceJackknife(kernels, a, b, kernel));
  console.log(
    `  ${estimate.toExponential(3)} ± ${standardError.toExponential(1)}, bandwidth ${kernel.bandwidth.toFixed(2)}`,
  );
}
await kernels.release();
