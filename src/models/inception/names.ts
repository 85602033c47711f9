/** What NVIDIA's file of Inception-v3, which clean-fid uses too, calls the weights of each unit: TensorFlow's names. */

/** TensorFlow's scope → torchvision's units in it, in order. */
type Scopes = Readonly<Record<string, readonly string[]>>;

const series = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}_${i + 1}`);

/** In a tower, units are numbered; those of the last kind of block have names of their own. */
const scopesOf: Readonly<Record<"A" | "B" | "C" | "D" | "E", Scopes>> = {
  A: {
    conv: ["branch1x1"],
    "tower.conv": series("branch5x5", 2),
    "tower_1.conv": series("branch3x3dbl", 3),
    "tower_2.conv": ["branch_pool"],
  },
  B: { conv: ["branch3x3"], "tower.conv": series("branch3x3dbl", 3) },
  C: {
    conv: ["branch1x1"],
    "tower.conv": series("branch7x7", 3),
    "tower_1.conv": series("branch7x7dbl", 5),
    "tower_2.conv": ["branch_pool"],
  },
  D: { "tower.conv": series("branch3x3", 2), "tower_1.conv": series("branch7x7x3", 4) },
  E: {
    conv: ["branch1x1"],
    tower_conv: ["branch3x3_1"],
    tower_mixed_conv: ["branch3x3_2a", "branch3x3_2b"],
    tower_1_conv: series("branch3x3dbl", 2),
    tower_1_mixed_conv: ["branch3x3dbl_3a", "branch3x3dbl_3b"],
    tower_2_conv: ["branch_pool"],
  },
};

/** Blocks in forward order; TensorFlow numbers them. */
const blocks = [
  ...(["5b", "5c", "5d"] as const).map((name) => [`Mixed_${name}`, scopesOf.A] as const),
  ["Mixed_6a", scopesOf.B] as const,
  ...(["6b", "6c", "6d", "6e"] as const).map((name) => [`Mixed_${name}`, scopesOf.C] as const),
  ["Mixed_7a", scopesOf.D] as const,
  ...(["7b", "7c"] as const).map((name) => [`Mixed_${name}`, scopesOf.E] as const),
];
const stem = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"];

/** The first has no number. */
const numbered = (name: string, i: number): string => (i === 0 ? name : `${name}_${i}`);

/** torchvision's unit → TensorFlow's: `Mixed_6d.branch7x7_2` → `mixed_6.tower.conv_1`. */
function unitNames(): Map<string, string> {
  const names = new Map(stem.map((ours, i) => [ours, numbered("conv", i)]));
  for (const [i, [block, scopes]] of blocks.entries()) {
    for (const [scope, units] of Object.entries(scopes)) {
      for (const [k, unit] of units.entries()) {
        names.set(`${block}.${unit}`, `${numbered("mixed", i)}.${numbered(scope, k)}`);
      }
    }
  }
  return names;
}

/** torchvision's name in a file → NVIDIA's; its normalisations have no weight, which is 1 in all of TensorFlow's graph. */
export function nvidiaNames(): ReadonlyMap<string, string> {
  const parts = { "conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var" };
  const convolutions = Array.from(unitNames()).flatMap(([ours, theirs]) =>
    Object.entries(parts).map(([part, name]) => [`${ours}.${part}`, `layers.${theirs}.${name}`] as const),
  );
  return new Map([...convolutions, ["fc.weight", "output.weight"], ["fc.bias", "output.bias"]]);
}
