/**
 * Shaders as part of the race's worker: vite puts their text into the program that imports this. Without comments
 * (scripts/build-page.mjs) they are half as long; lines keep their numbers. F1 has neither convolutions nor pooling nor dropout: their
 * kernels, more than half of all, stay out.
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
