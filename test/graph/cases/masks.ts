/** Cases of random masks: rows that end within a block of eight, symbols, routed rows. */
import { bernoulli, mergeRows, mul, partitionRows } from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";
import type { Op } from "../../../src/graph/op.ts";
import { integerWords, N, real, routedSizes, routeLeaves } from "./leaf.ts";
import { type CaseTable, opCase } from "./op-case.ts";

const T = symbolicDim("T");
const forwardOnly = "a mask has no gradient";

export const maskCases = {
  bernoulli: [
    opCase("of whole blocks", { key: integerWords(N, 2) }, ({ key }) => [bernoulli(key, [N, 16], 0.5, 7)], {
      forwardOnly,
    }),
    opCase(
      "of rows of 1, 9 and 0 elements",
      { key: integerWords(N, 2) },
      ({ key }) => [
        bernoulli(key, [N], 0.75, 0),
        bernoulli(key, [N, 9], 0.1, 2 ** 32 - 1),
        bernoulli(key, [N, 0], 0.5, 1),
      ],
      { forwardOnly },
    ),
    opCase(
      "that is certain",
      { key: integerWords(3, 2) },
      ({ key }) => [bernoulli(key, [3, 5], 1, 3), bernoulli(key, [3, 5], 0, 3)],
      { forwardOnly },
    ),
    opCase(
      "of more tokens than are known",
      { key: integerWords(N, 2), x: real(N, T, 3) },
      ({ key, x }) => [mul(x, bernoulli(key, [N, T, 3], 0.9, 5)), bernoulli(key, [N, 2, T, T], 0.9, 6)],
      {
        sizes: [
          { N: 3, T: 5 },
          { N: 1, T: 8 },
          { N: 2, T: 0 },
          { N: 0, T: 3 },
        ],
      },
    ),
    opCase(
      "of kept and dropped rows",
      { key: integerWords(N, 2), x: real(N, 2, 3), ...routeLeaves() },
      ({ key, x, ...routes }) => {
        const keys = partitionRows(key, routes);
        const [kept, dropped] = partitionRows(x, routes).map((part, i) =>
          mul(part, bernoulli(keys[i]!, part.shape, 0.5, 9)),
        );
        return [mergeRows(kept!, dropped!, routes)];
      },
      { sizes: routedSizes },
    ),
  ],
} satisfies Partial<CaseTable<Op>>;
