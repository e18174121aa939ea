/** The sizes of a convolution, which its three passes share. */
import { ShapeError } from "../support/errors.ts";
import { dims } from "../tensor/shape.ts";
import type { DataType } from "../tensor/tensor.ts";

/** Both in pixels, the same for rows and columns. */
export interface Conv2dOptions {
  readonly stride: number;
  readonly padding: number;
}

export interface Conv2dGeometry extends Conv2dOptions {
  /** Images. */
  readonly N: number;
  /** Input channels. */
  readonly C: number;
  /** Input rows and columns. */
  readonly H: number;
  readonly W: number;
  /** Output channels. */
  readonly K: number;
  /** Filter rows and columns. */
  readonly R: number;
  readonly S: number;
  /** Output rows and columns: ⌊(H + 2·padding − R) / stride⌋ + 1. */
  readonly P: number;
  readonly Q: number;
}

/** The direction in which a kernel goes through a layer, and the stored type of the activations. */
export interface GatherForm {
  /** The gradient of the input instead of the forward pass. */
  readonly transposed: boolean;
  readonly type: DataType;
}

/**
 * The sizes of a convolution of x [N, C, H, W] with weight [K, C, R, S].
 * @throws ShapeError when the channels differ, the filter is larger than the padded image, or stride or padding is not a
 *   whole number of pixels
 */
export function conv2dGeometry(
  x: readonly number[],
  weight: readonly number[],
  { stride, padding }: Conv2dOptions,
): Conv2dGeometry {
  const [N, C, H, W] = dims("conv2d: x", x, 4);
  const [K, weightC, R, S] = dims("conv2d: weight", weight, 4);
  if (weightC !== C) {
    throw new ShapeError(`conv2d: x has ${C} channels, but weight [${weight.join(", ")}] expects ${weightC}`);
  }
  if (!Number.isInteger(stride) || stride < 1 || !Number.isInteger(padding) || padding < 0) {
    throw new ShapeError(
      `conv2d: stride ${stride} must be a whole number of at least 1, and padding ${padding} one of at least 0`,
    );
  }
  if (R > H + 2 * padding || S > W + 2 * padding) {
    throw new ShapeError(
      `conv2d: a ${R}×${S} filter is larger than a ${H}×${W} image padded by ${padding} (use a larger image or padding)`,
    );
  }
  const P = Math.floor((H + 2 * padding - R) / stride) + 1;
  const Q = Math.floor((W + 2 * padding - S) / stride) + 1;
  return { N, C, H, W, K, R, S, P, Q, stride, padding };
}

/** A convolution as the kernel of its input gradient sees it: the input is C × H × W and the output K × P × Q. */
export function inputGradientSizes(geometry: Conv2dGeometry): Conv2dGeometry {
  const { C, H, W, K, P, Q } = geometry;
  return { ...geometry, C: K, H: P, W: Q, K: C, P: H, Q: W };
}

/** Floating-point operations of one pass: a multiply-add for each weight at each output pixel, including the border. */
export function conv2dFlops({ N, C, K, R, S, P, Q }: Conv2dGeometry): number {
  return 2 * N * K * P * Q * C * R * S;
}
