/**
 * The shaders of the race's worker: vite includes their text in the program that imports this. Without comments
 * (scripts/build-page.mjs) they are half as long; line numbers do not change. F1 has no convolutions, pooling or dropout, so their
 * kernels, more than half of all, are omitted.
 */
import { bundleOf } from "./shader-bundle.ts";

export const raceShaders = bundleOf(
  import.meta.glob(
    [
      "../../../shaders/**/*.wgsl",
      "!../../../shaders/{conv2d,channel-bias,dropout,avg-pool,max-pool,global-avg-pool,bench}/*.wgsl",
      "!../../../shaders/lib/conv2d-*.wgsl",
      "!../../../shaders/matmul/matrix.wgsl",
    ],
    { query: "?bare", import: "default", eager: true },
  ),
);
