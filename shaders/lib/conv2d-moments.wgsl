// lib/conv2d-moments: mean and Σ (y − mean)² of each channel over a tile's part of each of its IMAGES images, while the sums are in registers.
// Thread (m, n) holds vec4 sum[(4·g + v)·PIECES + i] of channel v·QUADS_M + m·GROUPS_M + g for g < GROUPS_M, v < 4, i < PIECES; every
// THREADS_N / IMAGES neighbours along n share an image. The importing file declares these, TILE_M, THREADS and `alias Sums`, and imports
// lib/conv2d-shares.

var<workgroup> means: array<f32, TILE_M * IMAGES>;

// Afterwards tile_mean(i) and tile_squares(i) are those of channel i % TILE_M and image i / TILE_M. Each thread adds up its share of its
// channels, then one thread per channel adds up the shares, in order. The second pass subtracts the mean.
fn tile_moments(sum: ptr<function, Sums>, m: u32, n: u32, lane: u32) {
  for (var g = 0u; g < GROUPS_M; g++) {
    var totals = vec4f();
    for (var v = 0u; v < 4u; v++) {
      for (var i = 0u; i < PIECES; i++) { totals[v] += dot((*sum)[(4u * g + v) * PIECES + i], vec4f(1.0)); }
    }
    weight_tile[(m * GROUPS_M + g) * THREADS_N + n] = totals / f32(4u * PIECES);
  }
  workgroupBarrier();
  for (var item = lane; item < TILE_M * IMAGES; item += THREADS) {
    // Relative to the first share, so that nothing is lost where |mean| is much larger than the deviation.
    let channel = item % TILE_M;
    let first = weight_tile[channel % QUADS_M * THREADS_N + item / TILE_M * NEIGHBOURS][channel / QUADS_M];
    means[item] = first + share_sum(item, first) / f32(NEIGHBOURS);
  }
  workgroupBarrier();
  for (var g = 0u; g < GROUPS_M; g++) {
    var squares = vec4f();
    for (var v = 0u; v < 4u; v++) {
      let mean = means[n / NEIGHBOURS * TILE_M + v * QUADS_M + m * GROUPS_M + g];
      for (var i = 0u; i < PIECES; i++) {
        let difference = (*sum)[(4u * g + v) * PIECES + i] - mean;
        squares[v] += dot(difference, difference);
      }
    }
    weight_tile[(m * GROUPS_M + g) * THREADS_N + n] = squares;
  }
  workgroupBarrier();
}

fn tile_mean(item: u32) -> f32 { return means[item]; }
fn tile_squares(item: u32) -> f32 { return share_sum(item, 0.0); }
