// conv2d/forward: convolution as an implicit matrix product in workgroup tiles, for GPUs; with TRANSPOSED its input gradient.
//
//   forward:     y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//   TRANSPOSED:  y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, (p + PADDING − r) / STRIDE, (q + PADDING − s) / STRIDE] · weight[c,k,r,s]
//
// where terms outside x, and those whose division is not exact, are 0. The second is grad-input: x is dy, y is dx, and
// C, H, W are the channels, rows and columns of dy. ACCUMULATE adds to what y holds.
// MOMENTS also leaves mean and Σ (y − mean)² of each channel over each tile, [N, tiles of an image, K] of such pairs, behind y, from
// the next multiple of 64 numbers on: P·Q is then a multiple of a tile's pixels.
// A workgroup computes TM·THREADS_M channels × TN·THREADS_N pixels. A step is TAPS taps of one row of the filter for DEPTH
// channels: such weights lie side by side in memory, so that 32 lanes read about 4 lines of 128 bytes where one tap at a time
// would be 10, and lanes along k 32. Steps run over rows of the filter, then its columns, then channels; while one is summed
// the next is under way from memory.
// TRANSPOSED pixels are taken by their remainder (p mod STRIDE, q mod STRIDE): all of one tile use the same taps,
// and with TAPS 1 no step multiplies by the zeros between.
// Every y is one sum in that order whatever the tile and DEPTH, so tiles of other sizes give the same result.
// Dispatch: (ceil(K / tile channels) · remainders, a, b) with a·b ≥ ceil(pixels of a remainder / tile pixels).
// @products TM * TN * DEPTH * TAPS

// @import lib/loop.wgsl

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
const TN: u32 = 4u;          // @spec  pixels of a thread, a multiple of 4
const THREADS_M: u32 = 8u;   // @spec
const THREADS_N: u32 = 16u;  // @spec
const DEPTH: u32 = 8u;       // @spec  channels of one step
const TAPS: u32 = 3u;        // @spec  columns of the filter of one step
const MOMENTS: bool = false; // @spec
const UNROLL: u32 = 1u;      // @spec  of the products of a step, those written out one after another
const_assert TM % 4u == 0u && TN % 4u == 0u && TERMS % UNROLL == 0u;

const TERMS = DEPTH * TAPS;  // of a sum, in one step
const THREADS = THREADS_M * THREADS_N;
const TILE_M = TM * THREADS_M;
const TILE_N = TN * THREADS_N;
const QUADS_M = TILE_M / 4u;  // vec4 of a term in workgroup memory: channels q, q + QUADS_M, q + 2·QUADS_M, q + 3·QUADS_M
const QUADS_N = TILE_N / 4u;  // pixels likewise, THREADS_N apart: neighbours in memory are neighbouring lanes'
const GROUPS_M = TM / 4u;
const GROUPS_N = TN / 4u;
const A_LOADS = (TERMS * QUADS_M + THREADS - 1u) / THREADS;
const B_LOADS = (TERMS * QUADS_N + THREADS - 1u) / THREADS;
const_assert THREADS % QUADS_N == 0u;
// 8 lanes along terms, or along TAPS and then quads, write to different banks where TAPS is odd and 8 divides QUADS_M: an odd
// number squared is 1 mod 8.
const A_STRIDE = QUADS_M + TAPS / 2u * 2u + 1u;
// Each 32 threads make a patch of up to 4 × 8, whose reads of both tiles are short and shared.
const PATCH_M = min(THREADS_M, 4u);
const PATCH_N = min(THREADS_N, 32u / PATCH_M);

@group(0) @binding(0) var<storage, read> x: array<f32>;        // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;   // [K, C, R, S]; TRANSPOSED [C, K, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [N, K, P, Q]
// N; TERMS, and for other kernels with these bindings R, S and C, once more as bounds of loops that are not to be unrolled.
struct Params { images: u32, terms: u32, filter_rows: u32, filter_columns: u32, channels: u32 }
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> a_tile: array<vec4f, TERMS * A_STRIDE>;
// Behind the sums, with MOMENTS, the threads' shares of their channels: [QUADS_M, THREADS_N].
var<workgroup> b_tile: array<vec4f, max(TERMS * QUADS_N, select(0u, QUADS_M * THREADS_N, MOMENTS))>;
var<workgroup> means: array<f32, TILE_M>;

// Outputs of one remainder along rows or columns: the first one, how many; of their taps the first one, how many.
struct Lattice { first: u32, count: u32, tap: u32, taps: u32 }

const FAR_OUTSIDE = 0x40000000u;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let channel_tiles = (K + TILE_M - 1u) / TILE_M;
  let remainder = wg.x / channel_tiles;
  let k0 = wg.x % channel_tiles * TILE_M;
  let stride = select(1u, STRIDE, TRANSPOSED);
  let rows = lattice(remainder / stride, P, R);
  let columns = lattice(remainder % stride, Q, S);
  let per_image = rows.count * columns.count;
  let pixels = params.images * per_image;
  let pixel0 = (wg.z * grid.y + wg.y) * TILE_N;

  // Of the four pixels that this thread fetches for all: row and column of x at the first tap, and the place of that in x. Below
  // zero they wrap around, and so are not below H and W.
  var own_row = array<u32, 4>();
  var own_column = array<u32, 4>();
  var own_place = array<u32, 4>();
  for (var v = 0u; v < 4u; v++) {
    let slot = lane % QUADS_N;
    let pixel = pixel0 + slot % THREADS_N + (4u * (slot / THREADS_N) + v) * THREADS_N;
    let within = pixel % max(per_image, 1u);
    own_row[v] = first_source(rows, within / max(columns.count, 1u));
    own_column[v] = first_source(columns, within % max(columns.count, 1u));
    own_place[v] = pixel / max(per_image, 1u) * C * H * W + own_row[v] * W + own_column[v];
    if (pixel >= pixels) { own_row[v] = FAR_OUTSIDE; }
  }

  var sum = array<vec4f, TM * GROUPS_N>();
  let n = lane % PATCH_N + lane / (PATCH_M * PATCH_N) % (THREADS_N / PATCH_N) * PATCH_N;
  let m = lane / PATCH_N % PATCH_M + lane / (PATCH_M * THREADS_N) * PATCH_M;
  let onward = select(1u, 0xffffffffu, TRANSPOSED);  // from tap to tap in x
  var a = array<vec4f, A_LOADS>();
  var b = array<vec4f, B_LOADS>();
  var row = 0u;  // of the step that is fetched, counted in taps
  var column = 0u;
  var c0 = 0u;
  var fetches = rows.taps > 0u && columns.taps > 0u;
  // One trip more than steps: a trip fetches its own terms and sums those that the trip before it fetched.
  for (var trip = 0; trip < FOREVER; trip++) {
    if (fetches) {
      for (var i = 0u; i < A_LOADS; i++) {
        let item = lane + i * THREADS;
        let c = c0 + channel_of(item);
        let s = column + item % TAPS;
        let k = k0 + quad_of(item);
        let filter_at = select(k * C + c, c * K + k, TRANSPOSED) * R + rows.tap + row * stride;
        let at = filter_at * S + columns.tap + s * stride;
        let apart = QUADS_M * R * S * select(C, 1u, TRANSPOSED);
        for (var v = 0u; v < 4u; v++) {
          let is_there = c < C && s < columns.taps && k + v * QUADS_M < K;
          a[i][v] = select(0.0, weight[select(0u, at + v * apart, is_there)], is_there);
        }
      }
      for (var i = 0u; i < B_LOADS; i++) {
        let term = lane / QUADS_N + i * (THREADS / QUADS_N);
        let c = c0 + term / TAPS;
        let s = column + term % TAPS;
        let offset = c * H * W + onward * (row * W + s);
        for (var v = 0u; v < 4u; v++) {
          let inside = own_row[v] + onward * row < H && own_column[v] + onward * s < W;
          let is_there = inside && c < C && s < columns.taps;
          b[i][v] = select(0.0, x[select(0u, own_place[v] + offset, is_there)], is_there);
        }
      }
    }
    if (trip > 0) {
      for (var d0 = 0u; d0 < params.terms; d0 += UNROLL) {
        for (var u = 0u; u < UNROLL; u++) {
          let d = d0 + u;
          var right = array<vec4f, GROUPS_N>();
          for (var h = 0u; h < GROUPS_N; h++) { right[h] = b_tile[d * QUADS_N + h * THREADS_N + n]; }
          for (var g = 0u; g < GROUPS_M; g++) {
            let left = a_tile[d * A_STRIDE + m * GROUPS_M + g];
            for (var v = 0u; v < 4u; v++) {
              for (var h = 0u; h < GROUPS_N; h++) {
                let i = (4u * g + v) * GROUPS_N + h;
                sum[i] = fma(vec4f(left[v]), right[h], sum[i]);
              }
            }
          }
        }
      }
    }
    workgroupBarrier();  // the tiles of the step before have been read by all
    if (!fetches) { break; }
    for (var i = 0u; i < A_LOADS; i++) {
      let item = lane + i * THREADS;
      if (item < TERMS * QUADS_M) {
        a_tile[(channel_of(item) * TAPS + item % TAPS) * A_STRIDE + quad_of(item)] = a[i];
      }
    }
    for (var i = 0u; i < B_LOADS; i++) {
      if (lane + i * THREADS < TERMS * QUADS_N) { b_tile[lane + i * THREADS] = b[i]; }
    }
    workgroupBarrier();
    c0 += DEPTH;
    if (c0 >= C) {
      c0 = 0u;
      column += TAPS;
      if (column >= columns.taps) {
        column = 0u;
        row++;
        fetches = row < rows.taps;
      }
    }
  }

  for (var j = 0u; j < TN; j++) {
    let pixel = pixel0 + n + j * THREADS_N;
    if (pixel < pixels) {
      let within = pixel % per_image;
      let p = rows.first + within / columns.count * stride;
      let q = columns.first + within % columns.count * stride;
      for (var i = 0u; i < TM; i++) {
        let k = k0 + i % 4u * QUADS_M + m * GROUPS_M + i / 4u;
        if (k < K) {
          let at = ((pixel / per_image * K + k) * P + p) * Q + q;
          let value = sum[i * GROUPS_N + j / 4u][j % 4u];
          if (ACCUMULATE) { y[at] += value; } else { y[at] = value; }
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
    for (var g = 0u; g < GROUPS_M; g++) {
      var totals = vec4f();
      for (var v = 0u; v < 4u; v++) {
        for (var h = 0u; h < GROUPS_N; h++) { totals[v] += dot(sum[(4u * g + v) * GROUPS_N + h], vec4f(1.0)); }
      }
      b_tile[(m * GROUPS_M + g) * THREADS_N + n] = totals / f32(TN);
    }
    workgroupBarrier();
    if (lane < TILE_M) {
      let first = share(lane, 0u);
      means[lane] = first + share_sum(lane, first) / f32(THREADS_N);
    }
    workgroupBarrier();
    for (var g = 0u; g < GROUPS_M; g++) {
      var squares = vec4f();
      for (var v = 0u; v < 4u; v++) {
        let mean = means[v * QUADS_M + m * GROUPS_M + g];
        for (var h = 0u; h < GROUPS_N; h++) {
          let difference = sum[(4u * g + v) * GROUPS_N + h] - mean;
          squares[v] += dot(difference, difference);
        }
      }
      b_tile[(m * GROUPS_M + g) * THREADS_N + n] = squares;
    }
    workgroupBarrier();
    if (is_there) {
      y[at] = means[lane];
      y[at + 1u] = share_sum(lane, 0.0);
    }
  }
}

// What thread i of its row has left of a channel of the tile.
fn share(channel: u32, i: u32) -> f32 { return b_tile[channel % QUADS_M * THREADS_N + i][channel / QUADS_M]; }

fn share_sum(channel: u32, shift: f32) -> f32 {
  var total = 0.0;
  for (var i = 0u; i < THREADS_N; i++) { total += share(channel, i) - shift; }
  return total;
}

// Quad of channels, and channel of x, of an item of a_tile, whose tap is item % TAPS: lanes lie along the weights as they stand in
// memory, [k, c, s] or TRANSPOSED [c, k, s].
fn quad_of(item: u32) -> u32 {
  if (TRANSPOSED) { return item / TAPS % QUADS_M; }
  return item / TERMS;
}

fn channel_of(item: u32) -> u32 {
  if (TRANSPOSED) { return item / (TAPS * QUADS_M); }
  return item / TAPS % DEPTH;
}

fn lattice(remainder: u32, size: u32, filter_size: u32) -> Lattice {
  if (!TRANSPOSED) { return Lattice(0u, size, 0u, filter_size); }
  let tap = (remainder + PADDING) % STRIDE;
  return Lattice(remainder, counted(remainder, size), tap, counted(tap, filter_size));
}

// How many numbers below `size` there are in first, first + STRIDE, …
fn counted(first: u32, size: u32) -> u32 {
  return select(0u, (size - first + STRIDE - 1u) / STRIDE, first < size);
}

// Row (or column) of x that the i-th output of a lattice meets with its first tap: the division is exact.
fn first_source(along: Lattice, i: u32) -> u32 {
  if (TRANSPOSED) { return i + (along.first + PADDING - along.tap) / STRIDE; }
  return i * STRIDE - PADDING;
}
