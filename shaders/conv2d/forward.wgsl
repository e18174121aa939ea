// conv2d/forward: convolution as an implicit matrix product in workgroup tiles, for GPUs; with TRANSPOSED its input gradient.
//
//   forward:     y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//   TRANSPOSED:  y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, (p + PADDING − r) / STRIDE, (q + PADDING − s) / STRIDE] · weight[c,k,r,s]
//
// where terms outside x, and those whose division is not exact, are 0. The second is grad-input: x is dy, y is dx, and
// C, H, W are the channels, rows and columns of dy. ACCUMULATE adds to what y holds.
// MOMENTS also leaves mean and Σ (y − mean)² of each channel over each tile, [N, tiles of an image, K] of such pairs, behind y, from
// the next multiple of 64 numbers on: P·Q is then a multiple of a tile's pixels.
// A workgroup computes TM·THREADS_M channels × TN·THREADS_N pixels; its steps run over the taps of the filter and
// over chunks of DEPTH channels within one tap, so that a pixel's place in x is found once per tap.
// TRANSPOSED pixels are taken by their remainder (p mod STRIDE, q mod STRIDE): all of one tile use the same taps,
// and no step multiplies by the zeros between.
// Every y is one sum over (r, s, c) in that order whatever the tile, so tiles of other sizes give the same result.
// Dispatch: (ceil(K / tile channels) · remainders, a, b) with a·b ≥ ceil(pixels of a remainder / tile pixels).

override C: u32;
override H: u32;
override W: u32;
override K: u32;
override P: u32;
override Q: u32;
override R: u32;
override S: u32;
override STRIDE: u32;
override PADDING: u32;
override TRANSPOSED: bool = false;
override ACCUMULATE: bool = false;
const TM: u32 = 8u;          // @spec  output channels of a thread, a multiple of 4
const TN: u32 = 4u;          // @spec  pixels of a thread
const THREADS_M: u32 = 8u;   // @spec
const THREADS_N: u32 = 16u;  // @spec
const DEPTH: u32 = 8u;       // @spec  channels of one step
const MOMENTS: bool = false; // @spec
const UNROLL: u32 = 1u;      // @spec  of the DEPTH products of a step, those written out one after another
const_assert TM % 4u == 0u && DEPTH % UNROLL == 0u;

const THREADS = THREADS_M * THREADS_N;
const TILE_M = TM * THREADS_M;
const TILE_N = TN * THREADS_N;
const QUADS = TILE_M / 4u;  // channels of a tile, four at a time
const A_LOADS = (DEPTH * QUADS + THREADS - 1u) / THREADS;
const B_LOADS = DEPTH * TILE_N / THREADS;
const_assert DEPTH * TILE_N % THREADS == 0u;
const OWN_PIXELS = max(1u, TILE_N / THREADS);  // different pixels that one thread fetches
const_assert TILE_N % THREADS == 0u || THREADS % TILE_N == 0u;

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;   // [K, C, R, S]; TRANSPOSED [C, K, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N, K, P, Q]
// N, and numbers known above once more as loop bounds, so that loops over them are not unrolled.
struct Params { images: u32, filter_rows: u32, filter_columns: u32, channels: u32, depth: u32 }
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> a_tile: array<vec4f, DEPTH * QUADS>;
var<workgroup> b_tile: array<f32, DEPTH * TILE_N>;
var<workgroup> row_sums: array<f32, select(1u, TM * THREADS, MOMENTS)>;  // [TILE_M, THREADS_N]
var<workgroup> row_means: array<f32, TILE_M>;

// A remainder of output rows or columns: first output, number of outputs, first tap.
struct Lattice { first: u32, count: u32, tap: u32 }

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let channel_tiles = (K + TILE_M - 1u) / TILE_M;
  let remainder = wg.x / channel_tiles;
  let k0 = wg.x % channel_tiles * TILE_M;
  let step = select(1u, STRIDE, TRANSPOSED);
  let rows = lattice(remainder / step, P);
  let columns = lattice(remainder % step, Q);
  let per_image = rows.count * columns.count;
  let pixels = params.images * per_image;
  let pixel0 = (wg.z * grid.y + wg.y) * TILE_N;

  // The pixels this thread fetches for all.
  var image = array<u32, OWN_PIXELS>();  // position of x[n, 0, 0, 0]
  var out_row = array<u32, OWN_PIXELS>();
  var out_column = array<u32, OWN_PIXELS>();
  var exists = array<bool, OWN_PIXELS>();
  for (var i = 0u; i < OWN_PIXELS; i++) {
    let pixel = pixel0 + (lane + i * THREADS) % TILE_N;
    exists[i] = pixel < pixels;
    image[i] = pixel / max(per_image, 1u) * C * H * W;
    let within = pixel % max(per_image, 1u);
    out_row[i] = rows.first + within / max(columns.count, 1u) * step;
    out_column[i] = columns.first + within % max(columns.count, 1u) * step;
  }

  var sum = array<array<f32, TN>, TM>();
  let m = lane / THREADS_N;
  let n = lane % THREADS_N;
  for (var r = rows.tap; r < params.filter_rows; r += step) {
    for (var s = columns.tap; s < params.filter_columns; s += step) {
      var place = array<u32, OWN_PIXELS>();
      var inside = array<bool, OWN_PIXELS>();
      for (var i = 0u; i < OWN_PIXELS; i++) {
        let h = source(out_row[i], r);
        let w = source(out_column[i], s);
        inside[i] = exists[i] && h >= 0 && h < i32(H) && w >= 0 && w < i32(W);
        place[i] = image[i] + u32(h) * W + u32(w);
      }
      for (var c0 = 0u; c0 < params.channels; c0 += DEPTH) {
        var a = array<vec4f, A_LOADS>();
        for (var i = 0u; i < A_LOADS; i++) {
          let at = lane + i * THREADS;
          let c = c0 + at / QUADS;
          let k = k0 + at % QUADS * 4u;
          a[i] = vec4f(tap(k, c, r, s), tap(k + 1u, c, r, s), tap(k + 2u, c, r, s), tap(k + 3u, c, r, s));
        }
        var b = array<f32, B_LOADS>();
        for (var i = 0u; i < B_LOADS; i++) {
          let c = c0 + (lane + i * THREADS) / TILE_N;
          let is_there = inside[i % OWN_PIXELS] && c < C;
          b[i] = select(0.0, x[select(0u, place[i % OWN_PIXELS] + c * H * W, is_there)], is_there);
        }
        workgroupBarrier();  // the tiles of the step before have been read by all
        for (var i = 0u; i < A_LOADS; i++) {
          let at = lane + i * THREADS;
          if (at < DEPTH * QUADS) { a_tile[at] = a[i]; }
        }
        for (var i = 0u; i < B_LOADS; i++) { b_tile[lane + i * THREADS] = b[i]; }
        workgroupBarrier();
        for (var d0 = 0u; d0 < params.depth; d0 += UNROLL) {
          for (var u = 0u; u < UNROLL; u++) {
            let d = d0 + u;
            var columns_of_b = array<f32, TN>();
            for (var j = 0u; j < TN; j++) { columns_of_b[j] = b_tile[d * TILE_N + n + j * THREADS_N]; }
            for (var i = 0u; i < TM / 4u; i++) {
              let rows_of_a = a_tile[d * QUADS + m * (TM / 4u) + i];
              for (var j = 0u; j < TN; j++) {
                for (var v = 0u; v < 4u; v++) {
                  sum[i * 4u + v][j] = fma(rows_of_a[v], columns_of_b[j], sum[i * 4u + v][j]);
                }
              }
            }
          }
        }
      }
    }
  }

  for (var j = 0u; j < TN; j++) {
    let pixel = pixel0 + n + j * THREADS_N;
    if (pixel < pixels) {
      let within = pixel % per_image;
      let p = rows.first + within / columns.count * step;
      let q = columns.first + within % columns.count * step;
      for (var i = 0u; i < TM; i++) {
        let k = k0 + m * TM + i;
        if (k < K) {
          let at = ((pixel / per_image * K + k) * P + p) * Q + q;
          if (ACCUMULATE) { y[at] += sum[i][j]; } else { y[at] = sum[i][j]; }
        }
      }
    }
  }

  if (MOMENTS) {
    // Each thread's share of its channels, then one thread for a channel, in order; the second pass is around the mean. Sums are
    // around the first value, so that nothing is lost where |mean| is much larger than the deviation.
    let channel = k0 + lane;
    let is_there = lane < TILE_M && channel < K && pixel0 < pixels;
    let start = (params.images * K * P * Q + 63u) / 64u * 64u;
    let at = start + 2u * (pixel0 / TILE_N * K + channel);
    for (var i = 0u; i < TM; i++) {
      var total = 0.0;
      for (var j = 0u; j < TN; j++) { total += sum[i][j]; }
      row_sums[(m * TM + i) * THREADS_N + n] = total / f32(TN);
    }
    workgroupBarrier();
    if (lane < TILE_M) {
      let first = row_sums[lane * THREADS_N];
      row_means[lane] = first + row_sum(lane, first) / f32(THREADS_N);
    }
    workgroupBarrier();
    for (var i = 0u; i < TM; i++) {
      let mean = row_means[m * TM + i];
      var squares = 0.0;
      for (var j = 0u; j < TN; j++) { squares = fma(sum[i][j] - mean, sum[i][j] - mean, squares); }
      row_sums[(m * TM + i) * THREADS_N + n] = squares;
    }
    workgroupBarrier();
    if (is_there) {
      y[at] = row_means[lane];
      y[at + 1u] = row_sum(lane, 0.0);
    }
  }
}

fn row_sum(channel: u32, shift: f32) -> f32 {
  var total = 0.0;
  for (var i = 0u; i < THREADS_N; i++) { total += row_sums[channel * THREADS_N + i] - shift; }
  return total;
}

fn lattice(remainder: u32, size: u32) -> Lattice {
  if (!TRANSPOSED) { return Lattice(0u, size, 0u); }
  let count = select(0u, (size - remainder + STRIDE - 1u) / STRIDE, remainder < size);
  return Lattice(remainder, count, (remainder + PADDING) % STRIDE);
}

// Row (or column) of x that output `out` meets with tap `at`; taps are chosen so that the division is exact.
fn source(out: u32, at: u32) -> i32 {
  if (TRANSPOSED) {
    let reach = i32(out + PADDING) - i32(at);
    return select(reach / i32(STRIDE), -1, reach < 0);
  }
  return i32(out * STRIDE + at) - i32(PADDING);
}

fn tap(k: u32, c: u32, r: u32, s: u32) -> f32 {
  let is_there = k < K && c < C;
  let filter_at = select(k * C + c, c * K + k, TRANSPOSED);
  return select(0.0, weight[select(0u, (filter_at * R + r) * S + s, is_there)], is_there);
}
