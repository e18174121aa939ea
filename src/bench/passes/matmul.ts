import { caseLabel } from "../../cases/label.ts";
import { type MatmulCase, matmulCases } from "../../cases/matmul.ts";
import { launchMatmul } from "../../kernels/matmul.ts";
import { launchSumRows } from "../../kernels/sum-rows.ts";
import { matmul } from "../../reference/matmul.ts";
import { fromArray } from "../../tensor/tensor.ts";
import { activation, EITHER_TYPE, numbers, type Pass, passOf, poisoned, summed, weights } from "../pass.ts";

/** The square product for comparing engines. */
const SQUARE: MatmulCase = { rows: 512, inner: 512, columns: 512, paper: true };

export const matmulPasses: readonly Pass[] = [
  passOf("matmul/tiled", [SQUARE, ...matmulCases], {
    label: caseLabel,
    cost: ({ rows, inner, columns }) => ({
      flops: 2 * rows * inner * columns,
      bytes: 4 * (rows * inner + inner * columns + rows * columns),
    }),
    types: EITHER_TYPE,
    prepare: (gpu, one, type) => {
      const { rows, inner, columns, transposeA = false, transposeB = false } = one;
      const make = numbers(rows * 10_000 + columns);
      const host = { a: make(rows * inner), b: make(inner * columns), bias: make(columns) };
      // As in a linear layer: in the form of a weight gradient both factors are activations, else A and the product are.
      const [operandB, ofC] = transposeA ? [activation, "f32" as const] : [weights, type];
      const a = activation(gpu, host.a, transposeA ? [inner, rows] : [rows, inner], "a", type);
      const b = operandB(gpu, host.b, transposeB ? [columns, inner] : [inner, columns], "b", type);
      const bias = one.bias ? fromArray(gpu, host.bias, [columns], "bias") : undefined;
      const c = poisoned(gpu, [rows, columns], "c", ofC);
      const reference = () => matmul(one.bias ? host : { a: host.a, b: host.b }, one);
      return {
        launch: () => launchMatmul({ a, b, bias, c }, { transposeA, transposeB }),
        outputs: [summed("c", c, inner + 1, reference)],
      };
    },
  }),
  passOf(
    "reduce/sum-rows",
    [
      { rows: 1, columns: 1 },
      { rows: 33, columns: 17 },
      { rows: 1031, columns: 131 },
      { rows: 4, columns: 300 },
      { rows: 128, columns: 512, network: "f1", paper: true },
      { rows: 4096, columns: 512, network: "f1", paper: true },
    ],
    {
      label: caseLabel,
      cost: ({ rows, columns }) => ({ flops: rows * columns, bytes: 4 * rows * columns }),
      types: EITHER_TYPE,
      prepare: (gpu, { rows, columns }, type) => {
        const host = numbers(rows + columns)(rows * columns);
        const x = activation(gpu, host, [rows, columns], "x", type);
        const y = poisoned(gpu, [columns], "y");
        const ones = new Float64Array(rows).fill(1);
        return {
          launch: () => launchSumRows({ x, y }),
          outputs: [
            summed("y", y, rows, () => matmul({ a: ones, b: host }, { rows: 1, inner: rows, columns })),
          ],
        };
      },
    },
  ),
];
