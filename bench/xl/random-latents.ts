/**
 * Writes random latents in the original's layout (a `.npy` file for each image), for measuring what real ones would
 * cost: `node --import tsx bench/xl/random-latents.ts FOLDER [side] [channels] [count]`.
 */
import { join } from "node:path";
import { float32, NDArray } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { encodeNpy } from "../../src/formats/npy.ts";
import { writeAtomically } from "../../src/storage/atomic-write.ts";

const [folder = "latents", side = "32", channels = "4", count = "16"] = process.argv.slice(2);
const shape = [1, Number(channels), Number(side), Number(side)];
for (let i = 0; i < Number(count); i++) {
  const values = normals(
    { seed: 0, purpose: "random latents", step: 0, index: i },
    shape.reduce((n, dim) => n * dim),
  );
  await writeAtomically(join(folder, "imagenet_features", `${i}.npy`), encodeNpy(float32(values, shape)));
  const label = new NDArray("int64", [1], BigInt64Array.of(BigInt(i)));
  await writeAtomically(join(folder, "imagenet_labels", `${i}.npy`), encodeNpy(label));
}
