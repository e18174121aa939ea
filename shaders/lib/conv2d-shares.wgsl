// lib/conv2d-shares: adds up what the threads of a convolution's tile hold of each channel, for each of its IMAGES images.
// Thread (m, n) puts its share of channel v·QUADS_M + m·GROUPS_M + g into weight_tile[(m·GROUPS_M + g)·THREADS_N + n][v]; every
// THREADS_N / IMAGES neighbours along n share an image. The importing file declares these, TILE_M and weight_tile, which may be
// overwritten and holds at least QUADS_M · THREADS_N vec4.

const NEIGHBOURS = THREADS_N / IMAGES;

// The sum over the shares of channel item % TILE_M and image item / TILE_M, in order, each less `shift`. min() saves the
// compiler a bounds test per read.
fn share_sum(item: u32, shift: f32) -> f32 {
  let channel = item % TILE_M;
  let first = channel % QUADS_M * THREADS_N + min(item / TILE_M, IMAGES - 1u) * NEIGHBOURS;
  var total = 0.0;
  for (var i = 0u; i < NEIGHBOURS; i++) { total += weight_tile[first + i][channel / QUADS_M] - shift; }
  return total;
}
