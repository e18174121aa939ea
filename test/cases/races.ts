// For the race detector, one small dispatch of every kernel whose lanes share memory: a few lanes, more than one iteration
// of each loop with a barrier, sizes that do not divide evenly.

import type { RaceCase } from "../support/race-check.ts";

const ghosts = {
  ghost_size: 3,
  ghosts: 2,
  total: 7,
  first_ghost: 0,
  first_channel: 0,
  total_channels: 2,
  eps: 1e-5,
};
const denseGhosts = { ...ghosts, ghost_size: 5, total: 11, total_channels: 12 };
const dense = { C: 12, RELU: true, COLUMNS: 2, ROWS: 4, QUADS: 3 };
const convolution = { C: 3, H: 3, W: 3, K: 4, P: 3, Q: 3, R: 1, S: 1, STRIDE: 1, PADDING: 0 };

export const raceCases: Readonly<Record<string, RaceCase>> = {
  "metrics/accumulate.wgsl": {
    overrides: { N: 10, ROWS: 2, ACCUMULATE: false, WG_SIZE: 4 },
    params: { count: 10 },
    sizes: { rows: 40, log_rows: 16 },
    workgroups: [1],
  },
  "l2-distance/partial.wgsl": {
    overrides: { COUNT: 41, PARTS: 2, WG_SIZE: 4 },
    params: { stretch: 21 },
    sizes: { x: 164, start: 164, partial: 2 },
    workgroups: [2],
  },
  "l2-distance/finish.wgsl": {
    overrides: { PARTS: 10, INDEX: 1, WG_SIZE: 4 },
    params: { parts: 10 },
    sizes: { partial: 10, distance_out: 2 },
    workgroups: [1],
  },
  "clip/coefficient.wgsl": {
    overrides: { PARTS: 10, ROWS: 2, SKIP: false, WG_SIZE: 4 },
    params: { parts: 10, inverse_scale: 1 },
    sizes: { partial: 10, clip: 2, log_rows: 16 },
    workgroups: [1],
  },
  "softmax-cross-entropy/loss-and-grad-row.wgsl": {
    overrides: { N: 2, K: 9, WG_SIZE: 4 },
    params: { classes: 9, last_start: 1, weight: 0.5, last_weight: 0.5, loss_scale: 1 },
    sizes: { logits: 18, labels: 2, dlogits: 18, rows: 8 },
    workgroups: [2],
  },
  "reduce/sum-of-squares.wgsl": {
    overrides: { QUADS: 41, PARTS: 2, WG_SIZE: 4 },
    params: { stretch: 21 },
    sizes: { x: 164, partial: 2 },
    workgroups: [2],
  },
  "reduce/sum-rows.wgsl": {
    overrides: { ACCUMULATE: false },
    spec: { COLUMNS: 2, LANES: 4 },
    params: { rows: 9, columns: 3 },
    sizes: { x: 27, y: 3 },
    workgroups: [2],
  },
  "reduce/sum-segments.wgsl": {
    overrides: {},
    spec: { COLUMNS: 2, LANES: 4 },
    params: { segments: 2 },
    sizes: { x: 37, segments: 16, y: 5 },
    // Two matrices, 9 × 3 and 5 × 2: first workgroup, where it begins, rows, columns, strides, where sums go, whether they add.
    words: { segments: [0, 0, 9, 3, 3, 1, 0, 0, 2, 27, 5, 2, 2, 1, 3, 0] },
    workgroups: [3],
  },
  "ghost-batch-norm/statistics.wgsl": {
    overrides: { C: 2, HW: 4, SPLITS: 1, WG_SIZE: 4, PIXELS: 1 },
    params: ghosts,
    sizes: { x: 56, statistics: 8 },
    workgroups: [2, 2],
  },
  "ghost-batch-norm/statistics-merge.wgsl": {
    overrides: { C: 3, TILES: 2, PIXELS: 4, COLUMNS: 2, ROWS: 4 },
    params: { ...ghosts, total_channels: 3 },
    sizes: { moments: 84, statistics: 12 },
    workgroups: [2, 2],
  },
  "ghost-batch-norm/grad-statistics.wgsl": {
    overrides: { C: 2, HW: 4, GATE: 1, SPLITS: 1, WG_SIZE: 4, PIXELS: 1 },
    params: ghosts,
    sizes: { x: 56, dy: 56, y: 56, statistics: 8, gamma: 2, beta: 2, sums: 8 },
    workgroups: [2, 2],
  },
  "ghost-batch-norm/grad-statistics-add.wgsl": {
    overrides: { C: 2, HW: 4, RELU: true, SPLITS: 1, WG_SIZE: 4, PIXELS: 1 },
    params: ghosts,
    sizes: { x: 56, dy: 56, y: 56, statistics: 8, sums: 8, dresidual: 56 },
    workgroups: [2, 2],
  },
  "ghost-batch-norm/normalize-merged.wgsl": {
    overrides: {
      ...{ C: 2, HW: 8, RELU: true, RESIDUAL: false, TILES: 2, TILE_PIXELS: 4 },
      ...{ WG_SIZE: 2, ROW: 1, PIXELS: 2, COLUMNS: 1, ROWS: 2 },
    },
    params: ghosts,
    sizes: { x: 112, moments: 56, gamma: 2, beta: 2, residual: 112, statistics: 8, y: 112 },
    workgroups: [2, 2, 1],
  },
  "ghost-batch-norm/forward-dense.wgsl": {
    overrides: dense,
    params: denseGhosts,
    sizes: { x: 132, gamma: 12, beta: 12, statistics: 48, y: 132 },
    workgroups: [2, 2],
  },
  "ghost-batch-norm/backward-dense.wgsl": {
    overrides: { ...dense, ACCUMULATE: false },
    params: denseGhosts,
    sizes: { x: 132, dy: 132, gamma: 12, beta: 12, statistics: 48, sums: 72, dx: 132 },
    workgroups: [2, 2],
  },
  "matmul/tiled.wgsl": {
    overrides: {
      TRANSPOSE_A: false,
      TRANSPOSE_B: true,
      PACKED_A: false,
      PACKED_B: false,
      BIAS: true,
      ACCUMULATE: false,
    },
    spec: { TILE_M: 32, TILE_N: 32, TILE_K: 64, MICRO_M: 8, MICRO_N: 4, TEAMS: 4 },
    params: { rows: 5, columns: 6, depth: 67, steps: 2 },
    sizes: { a: 335, b: 402, bias: 6, c: 30 },
    workgroups: [1],
  },
  "conv2d/forward.wgsl": {
    // One image of 16 pixels and 4 channels.
    overrides: { ...convolution, H: 4, W: 4, P: 4, Q: 4, TRANSPOSED: false, ACCUMULATE: false },
    spec: { TM: 4, TN: 4, THREADS_M: 2, THREADS_N: 4, DEPTH: 2, TAPS: 1, MOMENTS: "true" },
    params: { images: 1, filter_rows: 1, filter_columns: 1, channels: 3 },
    sizes: { x: 48, weight: 12, y: 64, moments: 8 },
    workgroups: [1, 1],
  },
  "conv2d/forward-patch.wgsl": {
    overrides: {
      ...{ C: 3, H: 4, W: 4, K: 4, P: 4, Q: 4, PADDING: 0 },
      ...{ TRANSPOSED: false, ACCUMULATE: false },
    },
    spec: {
      ...{ R: 1, S: 1, STRIDE: 1, TM: 4, ROWS: 1, THREADS_M: 2, ACROSS: 1, DOWN: 4, IMAGES: 1 },
      ...{ DEPTH: 2, ROW_QUADS: 1, IMAGE_QUADS: 4, MOMENTS: "true" },
    },
    params: { images: 1, channels: 3 },
    sizes: { x: 48, weight: 12, y: 64, moments: 8 },
    workgroups: [1, 1],
  },
  "conv2d/grad-input-norm-patch.wgsl": {
    overrides: { C: 3, H: 4, W: 4, K: 4, P: 4, Q: 4, PADDING: 0, ACCUMULATE: true, GATE: 1 },
    spec: {
      ...{ R: 1, S: 1, STRIDE: 1, TM: 4, ROWS: 1, THREADS_M: 1, ACROSS: 1, DOWN: 4, IMAGES: 2 },
      ...{ DEPTH: 2, ROW_QUADS: 1, IMAGE_QUADS: 4 },
    },
    params: {
      ...{ images: 3, channels: 3, ghost_size: 1, ghosts: 2, first_ghost: 0, first_channel: 0 },
      ...{ total_channels: 4, eps: 1e-5 },
    },
    sizes: { x: 144, weight: 12, norm_x: 192, statistics: 16, gamma_or_y: 4, beta: 4, y: 192, sums: 24 },
    workgroups: [1, 2],
  },
  "ghost-batch-norm/grad-input.wgsl": {
    overrides: {
      ...{ C: 2, HW: 8, RELU: false, ACCUMULATE: false, SPLITS: 1, TILES: 2 },
      ...{ WG_SIZE: 2, ROW: 1, PIXELS: 2 },
    },
    params: ghosts,
    sizes: { x: 112, dy: 112, statistics: 8, gamma: 2, beta: 2, sums: 56, dx: 112 },
    workgroups: [2, 2, 1],
  },
  "conv2d/grad-weight-patch.wgsl": {
    overrides: { C: 3, H: 4, W: 4, K: 4, P: 4, Q: 4, PADDING: 1 },
    spec: {
      ...{ R: 3, S: 3, STRIDE: 1, TM: 4, THREADS_M: 2, THREADS_C: 4, TEAMS: 2, ROWS: 2, COLUMNS: 4 },
      ...{ PATCH_LANES: 8 },
    },
    params: { tiles: 2, tiles_per_split: 2 },
    sizes: { x: 48, dy: 64, partials: 108 },
    workgroups: [1, 1, 1],
  },
  "conv2d/forward-matrix.wgsl": {
    overrides: { C: 8, H: 4, W: 4, K: 2, P: 4, Q: 4, ACCUMULATE: false },
    spec: {
      ...{ Stored: "vec4f", StoredY: "f32", Component: "f32", M: 2, N: 4, D: 4, LANES: 2, SUBGROUPS_N: 2 },
      ...{ BLOCKS_N: 1, CHANNELS: 4, FILTER_ROWS: 1, ROWS: 2, COLUMNS: 4, GROUPS: 1, R: 1, S: 1 },
      ...{ PADDING: 0, MOMENTS: "true" },
    },
    params: { images: 1, channels: 8, tiles: 2 },
    sizes: { x: 128, weight: 16, y: 32, moments: 8 },
    workgroups: [1, 2],
  },
  "conv2d/grad-weight-matrix.wgsl": {
    overrides: { C: 2, H: 2, W: 5, K: 2, P: 2, Q: 4 },
    spec: {
      ...{ StoredX: "f32", WIDTH_X: 1, StoredDy: "vec4f", Component: "f32", M: 2, N: 2, D: 4, LANES: 2 },
      ...{ SUBGROUPS_D: 2, ROWS: 1, IMAGES: 2, COLUMNS: 4, TAP_ROWS: 1, R: 1, S: 2, PADDING: 0 },
    },
    params: { images: 2, tiles: 2, tiles_per_split: 2 },
    sizes: { x: 40, dy: 32, partials: 8 },
    workgroups: [1, 1, 1],
  },
  "matmul/matrix.wgsl": {
    overrides: { BIAS: true, ACCUMULATE: false },
    spec: {
      ...{ TRANSPOSE_A: "true", StoredA: "vec4f", StoredB: "vec4f", StoredC: "f32", Component: "f32" },
      ...{ M: 4, N: 4, D: 4, LANES: 2, SUBGROUPS_N: 1, BLOCKS_M: 1, BLOCKS_N: 2, DEPTH: 4 },
    },
    params: { rows: 8, columns: 8, depth: 8, steps: 2 },
    sizes: { a: 64, b: 64, bias: 8, c: 64 },
    workgroups: [1],
  },
  "conv2d/grad-weight.wgsl": {
    overrides: convolution,
    spec: { TM: 4, TN: 4, THREADS_M: 2, THREADS_N: 4, DEPTH: 2 },
    params: { pixels: 9, pixels_per_split: 6 },
    sizes: { x: 27, dy: 36, partials: 24 },
    workgroups: [1, 1, 2],
  },
  "channel-bias/grad-bias.wgsl": {
    overrides: { C: 3, HW: 4, ACCUMULATE: false, SPLITS: 2, WG_SIZE: 4, PIXELS: 1 },
    params: { count: 10 },
    sizes: { dy: 120, dbias: 6 },
    workgroups: [3, 2],
  },
};
