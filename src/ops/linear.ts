import { launchMatmul, launchMatmulSlices, matmulSlices } from "../kernels/matmul.ts";
import { launchSumRows } from "../kernels/sum-rows.ts";
import { dims, expectShape } from "../tensor/shape.ts";
import { type DataType, empty, expectType, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y = x · weightᵀ + bias
 *
 * @param x      [N, I], f32 or f16
 * @param weight [O, I] f32, PyTorch's layout
 * @param bias   [O] f32, or null for none
 * @param output the type that y is stored in; x's by default
 * @returns y [N, O]
 * @throws ShapeError when the shapes or types do not fit
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  { output = x.dtype }: { output?: DataType } = {},
): Tensor {
  const [N, I] = dims("linear: x", x.shape, 2);
  const [O] = dims("linear: weight", weight.shape, 2);
  expectShape("linear: weight", weight.shape, [O, I]);
  if (bias) expectShape("linear: bias", bias.shape, [O]);
  expectType("linear", "f32", { weight, bias });

  const y = empty(x.gpu, [N, O], output, "linear");
  launchMatmul(
    { a: x, b: weight, bias: bias ?? undefined, c: y },
    { transposeA: false, transposeB: true, accumulate: false },
  );

  const inputs = bias ? ([x, weight, bias] as const) : ([x, weight] as const);
  differentiable("linear", inputs, y, (dy, destination, sums) => {
    const dweight = destination(weight);
    if (dweight) {
      const { tensor, accumulate } = dweight;
      const form = { transposeA: true, transposeB: false };
      const slices = matmulSlices({ a: dy, b: x }, form);
      if (slices === 1) launchMatmulSlices({ a: dy, b: x, c: tensor }, { ...form, accumulate });
      else {
        const partials = sums.scratch(x, [slices, O, I], "linear partials");
        launchMatmulSlices({ a: dy, b: x, c: partials }, form);
        sums.add({ partials, rows: slices }, dweight);
      }
    }
    const dbias = bias && destination(bias);
    if (dbias) {
      const known = sums.columnsOf(dy); // a norm that follows has computed them
      if (known) sums.add(known, dbias);
      else launchSumRows({ x: dy, y: dbias.tensor }, { accumulate: dbias.accumulate });
    }
    const dx = destination(x);
    if (dx) {
      const { tensor: c, accumulate } = dx;
      launchMatmul({ a: dy, b: weight, c }, { transposeA: false, transposeB: false, accumulate });
    }
    return [dx?.tensor ?? null, dweight?.tensor ?? null, dbias?.tensor ?? null] as never;
  });
  return y;
}
