/** Checks of the layers' operations: forward, and the gradient of every input. */
import { z } from "zod";
import { conv2dGeometry } from "../kernels/conv2d-geometry.ts";
import { add } from "../ops/add.ts";
import { avgPool2d } from "../ops/avg-pool.ts";
import { conv2d } from "../ops/conv2d.ts";
import { linear } from "../ops/linear.ts";
import { maxPool2d } from "../ops/max-pool.ts";
import { relu } from "../ops/relu.ts";
import { dims } from "../tensor/shape.ts";
import {
  compareAll,
  forwardAndBackward,
  nonNegative,
  type OperationCheck,
  positive,
  upload,
} from "./operation.ts";

/** output = x · weightᵀ + bias: x [N, I], weight [O, I], bias [O] if there is one. */
export const checkLinear: OperationCheck = async (gpu, reference) => {
  const [N, I] = dims("x", reference.shape("x"), 2);
  const [O] = dims("weight", reference.shape("weight"), 2);
  const terms = { output: I + 1, grad_x: O, grad_weight: N };
  if (!reference.has("bias")) {
    const inputs = await upload(gpu, reference, ["x", "weight"]);
    const results = await forwardAndBackward(gpu, reference, inputs, ({ x, weight }) =>
      linear(x, weight, null),
    );
    return compareAll(reference, results, terms);
  }
  const inputs = await upload(gpu, reference, ["x", "weight", "bias"]);
  const results = await forwardAndBackward(gpu, reference, inputs, ({ x, weight, bias }) =>
    linear(x, weight, bias),
  );
  return compareAll(reference, results, { ...terms, grad_bias: N });
};

const Convolution = z.object({ stride: positive, padding: nonNegative });

/** Convolution without bias: x [N, C, H, W], weight [K, C, R, S]. */
export const checkConv2d: OperationCheck = async (gpu, reference) => {
  const options = reference.attributes(Convolution);
  const { N, C, K, R, S, P, Q } = conv2dGeometry(reference.shape("x"), reference.shape("weight"), options);
  const inputs = await upload(gpu, reference, ["x", "weight"]);
  const results = await forwardAndBackward(gpu, reference, inputs, ({ x, weight }) =>
    conv2d(x, weight, options),
  );
  return compareAll(reference, results, { output: C * R * S, grad_x: K * R * S, grad_weight: N * P * Q });
};

const Pooling = z.object({ kernel: positive, stride: positive, padding: nonNegative });

/** Largest value of each window of x [N, C, H, W]; of several equal ones, the first gets the gradient. */
export const checkMaxPool2d: OperationCheck = async (gpu, reference) => {
  const options = reference.attributes(Pooling);
  const inputs = await upload(gpu, reference, ["x"]);
  const results = await forwardAndBackward(gpu, reference, inputs, ({ x }) => maxPool2d(x, options));
  return compareAll(reference, results, { output: 1, grad_x: windowsOverPixel(options) });
};

/** Mean of each window of x [N, C, H, W], including the zeros of the padding. */
export const checkAvgPool2d: OperationCheck = async (gpu, reference) => {
  const options = reference.attributes(Pooling);
  const inputs = await upload(gpu, reference, ["x"]);
  const results = await forwardAndBackward(gpu, reference, inputs, ({ x }) => avgPool2d(x, options));
  return compareAll(reference, results, { output: options.kernel ** 2, grad_x: windowsOverPixel(options) });
};

function windowsOverPixel({ kernel, stride }: z.infer<typeof Pooling>): number {
  return Math.ceil(kernel / stride) ** 2;
}

/** output = max(x, 0), any shape. */
export const checkRelu: OperationCheck = async (gpu, reference) => {
  const inputs = await upload(gpu, reference, ["x"]);
  const results = await forwardAndBackward(gpu, reference, inputs, ({ x }) => relu(x));
  return compareAll(reference, results, { output: 1, grad_x: 1 });
};

/** output = a + b, any shape. */
export const checkAdd: OperationCheck = async (gpu, reference) => {
  const inputs = await upload(gpu, reference, ["a", "b"]);
  const results = await forwardAndBackward(gpu, reference, inputs, ({ a, b }) => add(a, b));
  return compareAll(reference, results, { output: 1, grad_a: 1, grad_b: 1 });
};
