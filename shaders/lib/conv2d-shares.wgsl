// lib/conv2d-shares: what the threads of a convolution's tile have of each channel, added up for each of its IMAGES images.
// Thread (m, n) puts its share of channel v·QUADS_M + m·GROUPS_M + g into weight_tile[(m·GROUPS_M + g)·THREADS_N + n][v]; each
// THREADS_N / IMAGES neighbours along n have an image. The importing file declares these, TILE_M and weight_tile, which is free to be
// overwritten and holds QUADS_M · THREADS_N vec4 at least.

const NEIGHBOURS = THREADS_N / IMAGES;

// The sum over the shares of channel item % TILE_M and image item / TILE_M, in order, each less `shift`. The min() is for the compiler,
// which then need not test every read.
fn share_sum(item: u32, shift: f32) -> f32 {
  let channel = item % TILE_M;
  let first = channel % QUADS_M * THREADS_N + min(item / TILE_M, IMAGES - 1u) * NEIGHBOURS;
  var total = 0.0;
  for (var i = 0u; i < NEIGHBOURS; i++) { total += weight_tile[first + i][channel / QUADS_M] - shift; }
  return total;
}
