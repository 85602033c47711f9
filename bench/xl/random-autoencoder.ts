/**
 * Writes the autoencoder of Stable Diffusion with random weights:
 * `node --import tsx bench/xl/random-autoencoder.ts /tmp/vae.safetensors`.
 */
import { normals } from "../../src/array/random.ts";
import { encodeSafetensors } from "../../src/formats/safetensors.ts";
import { autoencoderSpecs } from "../../src/models/autoencoder/autoencoder.ts";
import { autoencoderPreset } from "../../src/models/autoencoder/config.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { writeAtomically } from "../../src/storage/atomic-write.ts";

const [path = "vae.safetensors", preset = "sd-vae-ft"] = process.argv.slice(2);
const weights = initialWeights(autoencoderSpecs(autoencoderPreset(preset)), 0);
for (const [name, { data, shape }] of weights) {
  if (shape.length < 2) continue;
  const noise = normals({ seed: 2, purpose: `random autoencoder ${name}`, step: 0, index: 0 }, data.length);
  const scale = 1 / Math.sqrt(data.length / shape[0]!);
  for (let i = 0; i < data.length; i++) data[i] = scale * noise[i]!;
}
await writeAtomically(path, encodeSafetensors(weights));
