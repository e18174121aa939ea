// conv2d/forward: convolution as an implicit matrix product in workgroup tiles, for GPUs; with TRANSPOSED its input gradient.
//
//   forward:     y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING] · weight[k,c,r,s]
//   TRANSPOSED:  y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, (p + PADDING − r) / STRIDE, (q + PADDING − s) / STRIDE] · weight[c,k,r,s]
//
// Terms outside x, and those whose division leaves a remainder, are 0. The second is grad-input: x is dy, y is dx, and
// C, H, W are the channels, rows and columns of dy. ACCUMULATE adds to y instead of overwriting it.
// examples/conv2d-direct.wgsl computes the forward formula in 20 plain lines. conv2d/forward-patch is faster where it applies;
// this kernel handles every filter and stride.
//
// As a matrix product, weight is a matrix [K, (c, r, s)], x is a matrix [(c, r, s), (n, p, q)], and their product is y. The second
// matrix is never stored: its numbers are looked up in x when they are needed. A workgroup computes a tile of y, TM·THREADS_M
// channels × TN·THREADS_N pixels, and each of its threads TM × TN of it. It sums in steps of DEPTH channels × TAPS taps of one row of
// the filter:
//   1. fetch: each thread reads its share of both matrices' terms, from memory into registers;
//   2. store: into workgroup memory, where all threads see them;
//   3. multiply, while the next step is being fetched from memory.
// Then it writes its tile. With MOMENTS it also writes mean and Σ (y − mean)² of each channel over the tile to `moments`; P·Q is then a
// multiple of a tile's pixels.
// The weights of a step are adjacent in memory, so that 32 lanes read about 4 lines of 128 bytes; with one tap at a time it would be
// 10, and with lanes along k 32. Steps run over rows of the filter, then its columns, then channels. Every y is one sum in that
// order whatever the tile and DEPTH, so tiles of all sizes give the same result.
// TRANSPOSED groups pixels by remainder (p mod STRIDE, q mod STRIDE), so that all pixels of a tile use the same taps; with TAPS 1 no
// step multiplies by the zeros in between.
// Dispatch: (ceil(K / tile channels) · remainders, a, b) with a·b ≥ ceil(pixels of a remainder / tile pixels).
// @products TM * TN * DEPTH * TAPS

// @import lib/loop.wgsl
// @import lib/conv2d-lattice.wgsl
// @import lib/conv2d-shares.wgsl
// @import lib/conv2d-moments.wgsl

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
alias Stored = f32;          // @spec  x and y in memory: f16 in mixed precision
const TM: u32 = 8u;          // @spec  output channels per thread, a multiple of 4
const TN: u32 = 4u;          // @spec  pixels of a thread, a multiple of 4
const THREADS_M: u32 = 8u;   // @spec
const THREADS_N: u32 = 16u;  // @spec
const DEPTH: u32 = 8u;       // @spec  channels per step
const TAPS: u32 = 3u;        // @spec  columns of the filter per step
const MOMENTS: bool = false; // @spec
const UNROLL: u32 = 1u;      // @spec  how many products of a step are written out one after another
const_assert TM % 4u == 0u && TN % 4u == 0u && TERMS % UNROLL == 0u;

const TERMS = DEPTH * TAPS;  // terms of a sum per step
const THREADS = THREADS_M * THREADS_N;
const TILE_M = TM * THREADS_M;
const TILE_N = TN * THREADS_N;
const QUADS_M = TILE_M / 4u;  // vec4 of a term in workgroup memory: channels q, q + QUADS_M, q + 2·QUADS_M, q + 3·QUADS_M
const QUADS_N = TILE_N / 4u;  // pixels likewise, THREADS_N apart, so that neighbouring lanes take neighbours in memory
const GROUPS_M = TM / 4u;
const GROUPS_N = TN / 4u;
const IMAGES = 1u;            // images of a tile, for lib/conv2d-moments
const PIECES = GROUPS_N;      // vec4 of pixels of a thread, likewise
const WEIGHT_LOADS = (TERMS * QUADS_M + THREADS - 1u) / THREADS;  // per thread and step, four numbers each
const X_LOADS = (TERMS * QUADS_N + THREADS - 1u) / THREADS;
const ALL_WEIGHTS = TERMS * QUADS_M % THREADS == 0u;  // whether all threads fetch the same number
const ALL_X = TERMS * QUADS_N % THREADS == 0u;
const_assert THREADS % QUADS_N == 0u;
// 8 lanes along terms, or along TAPS and then quads, write to different banks where TAPS is odd and 8 divides QUADS_M: an odd
// number squared is 1 mod 8.
const WEIGHT_STRIDE = QUADS_M + TAPS / 2u * 2u + 1u;
// Every 32 threads form a block of up to 4 × 8, so that they share most of what they read of both tiles.
const PATCH_M = min(THREADS_M, 4u);
const PATCH_N = min(THREADS_N, 32u / PATCH_M);

@group(0) @binding(0) var<storage, read> x: array<Stored>;           // [N, C, H, W]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [K, C, R, S]; TRANSPOSED [C, K, R, S]
@group(0) @binding(2) var<storage, read_write> y: array<Stored>;     // [N, K, P, Q]
@group(0) @binding(3) var<storage, read_write> moments: array<f32>;  // @optional  [N, tiles of an image, K, 2], written with MOMENTS
// N; and R, S and C as uniforms, which other kernels with these bindings use as loop bounds.
struct Params { images: u32, filter_rows: u32, filter_columns: u32, channels: u32 }
@group(0) @binding(4) var<uniform> params: Params;

// After the sums, with MOMENTS, it holds the threads' shares of their channels.
var<workgroup> weight_tile: array<vec4f, max(TERMS * WEIGHT_STRIDE, select(0u, QUADS_M * THREADS_N, MOMENTS))>;
var<workgroup> x_tile: array<vec4f, TERMS * QUADS_N>;

// The step that is fetched: first row and column of the filter, counted in taps, and first channel of x.
struct Step { row: u32, column: u32, c0: u32 }

// The four pixels that a thread fetches for all threads: row and column of x at the first tap, and its index in x. Negative values wrap
// around, so the tests against H and W reject them.
struct Pixels { rows: array<u32, 4>, columns: array<u32, 4>, places: array<u32, 4> }

alias WeightShare = array<vec4f, WEIGHT_LOADS>;
alias XShare = array<vec4f, X_LOADS>;
alias Sums = array<vec4f, TM * GROUPS_N>;

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
  let pixels = params.images * rows.count * columns.count;
  let pixel0 = (wg.z * grid.y + wg.y) * TILE_N;
  let n = lane % PATCH_N + lane / (PATCH_M * PATCH_N) % (THREADS_N / PATCH_N) * PATCH_N;
  let m = lane / PATCH_N % PATCH_M + lane / (PATCH_M * THREADS_N) * PATCH_M;

  var own = Pixels();
  plan(pixel0, rows, columns, lane, &own);
  var weight_share = WeightShare();
  var x_share = XShare();
  var sum = Sums();
  var row = 0u;  // of the step that is fetched
  var column = 0u;
  var c0 = 0u;
  var fetches = rows.taps > 0u && columns.taps > 0u;
  // One iteration more than there are steps: each fetches its own terms and multiplies those fetched before it.
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    if (fetches) {
      let step = Step(row, column, c0);
      fetch_weights(step, k0, rows, columns, lane, &weight_share);
      fetch_x(step, columns, lane, &own, &x_share);
    }
    if (iteration > 0) { multiply(m, n, &sum); }
    workgroupBarrier();  // every thread has read the previous step's tiles
    if (!fetches) { break; }
    store(lane, &weight_share, &x_share);
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

  write(k0, pixel0, rows, columns, m, n, &sum);
  if (MOMENTS) {
    tile_moments(&sum, m, n, lane);
    let at = 2u * (pixel0 / TILE_N * K + k0 + lane);
    if (lane < TILE_M && k0 + lane < K && pixel0 < pixels) {
      moments[at] = tile_mean(lane);
      moments[at + 1u] = tile_squares(lane);
    }
  }
}

fn plan(pixel0: u32, rows: Lattice, columns: Lattice, lane: u32, own: ptr<function, Pixels>) {
  let per_image = rows.count * columns.count;
  let slot = lane % QUADS_N;
  // Row and column of x that the first output of a lattice reads with its first tap; the division is exact.
  let first_row = select(0u - PADDING, (rows.first + PADDING - rows.tap) / STRIDE, TRANSPOSED);
  let first_column = select(0u - PADDING, (columns.first + PADDING - columns.tap) / STRIDE, TRANSPOSED);
  let apart = select(STRIDE, 1u, TRANSPOSED);
  for (var v = 0u; v < 4u; v++) {
    let pixel = pixel0 + slot % THREADS_N + (4u * (slot / THREADS_N) + v) * THREADS_N;
    let within = pixel % max(per_image, 1u);
    let row = first_row + within / max(columns.count, 1u) * apart;
    let column = first_column + within % max(columns.count, 1u) * apart;
    (*own).rows[v] = select(FAR_OUTSIDE, row, pixel < params.images * per_image);
    (*own).columns[v] = column;
    (*own).places[v] = pixel / max(per_image, 1u) * C * H * W + row * W + column;
  }
}

// Step 1 of the weights. Neighbouring lanes take neighbours in memory, [k, c, s] or TRANSPOSED [c, k, s]. Here and below,
// the compiler drops a bounds test if the size is a multiple of the tile's. & makes no branch; && would.
fn fetch_weights(step: Step, k0: u32, rows: Lattice, columns: Lattice, lane: u32, share: ptr<function, WeightShare>) {
  let stride = select(1u, STRIDE, TRANSPOSED);
  let apart = QUADS_M * R * S * select(C, 1u, TRANSPOSED);
  for (var i = 0u; i < WEIGHT_LOADS; i++) {
    let item = lane + i * THREADS;
    let c = step.c0 + select(item / TAPS % DEPTH, item / (TAPS * QUADS_M), TRANSPOSED);
    let s = step.column + item % TAPS;
    let k = k0 + select(item / TERMS, item / TAPS % QUADS_M, TRANSPOSED);
    let filter_at = select(k * C + c, c * K + k, TRANSPOSED) * R + rows.tap + step.row * stride;
    let at = filter_at * S + columns.tap + s * stride;
    let is_term = ((C % DEPTH == 0u && ALL_WEIGHTS) || c < C) & (S % TAPS == 0u || s < columns.taps);
    var four = vec4f();
    for (var v = 0u; v < 4u; v++) {
      let exists = is_term & ((K % TILE_M == 0u && ALL_WEIGHTS) || k + v * QUADS_M < K);
      four[v] = select(0.0, weight[select(0u, at + v * apart, exists)], exists);
    }
    (*share)[i] = four;
  }
}

// Step 1 of x.
fn fetch_x(step: Step, columns: Lattice, lane: u32, own: ptr<function, Pixels>, share: ptr<function, XShare>) {
  let onward = select(1u, 0xffffffffu, TRANSPOSED);  // distance in x from tap to tap
  for (var i = 0u; i < X_LOADS; i++) {
    let term = lane / QUADS_N + i * (THREADS / QUADS_N);
    let c = step.c0 + term / TAPS;
    let s = step.column + term % TAPS;
    let offset = c * H * W + onward * (step.row * W + s);
    let is_term = ((C % DEPTH == 0u && ALL_X) || c < C) & (S % TAPS == 0u || s < columns.taps);
    var four = vec4f();
    for (var v = 0u; v < 4u; v++) {
      let inside = ((*own).rows[v] + onward * step.row < H) & ((*own).columns[v] + onward * s < W);
      let exists = is_term & inside;
      four[v] = select(0.0, f32(x[select(0u, (*own).places[v] + offset, exists)]), exists);
    }
    (*share)[i] = four;
  }
}

// Step 2. Items of weights are numbered as in fetch_weights; in workgroup memory, terms are the outermost index of both tiles.
fn store(lane: u32, weight_share: ptr<function, WeightShare>, x_share: ptr<function, XShare>) {
  for (var i = 0u; i < WEIGHT_LOADS; i++) {
    let item = lane + i * THREADS;
    if (item < TERMS * QUADS_M) {
      let d = select(item / TAPS % DEPTH, item / (TAPS * QUADS_M), TRANSPOSED);
      let quad = select(item / TERMS, item / TAPS % QUADS_M, TRANSPOSED);
      let at = (d * TAPS + item % TAPS) * WEIGHT_STRIDE + quad;
      weight_tile[min(at, TERMS * WEIGHT_STRIDE - 1u)] = (*weight_share)[i];
    }
  }
  for (var i = 0u; i < X_LOADS; i++) {
    let item = lane + i * THREADS;
    if (item < TERMS * QUADS_N) { x_tile[min(item, TERMS * QUADS_N - 1u)] = (*x_share)[i]; }
  }
}

// Step 3: adds TERMS products to each of the thread's sums. min() tells the compiler that reads stay inside the tiles, which
// saves a bounds test per read.
fn multiply(m: u32, n: u32, sum: ptr<function, Sums>) {
  let own_m = GROUPS_M * min(m, THREADS_M - 1u);
  let own_n = min(n, THREADS_N - 1u);
  for (var d0 = 0u; d0 < TERMS / UNROLL; d0++) {
    var right = array<array<vec4f, GROUPS_N>, UNROLL>();
    for (var u = 0u; u < UNROLL; u++) {
      let d = d0 * UNROLL + u;
      for (var h = 0u; h < GROUPS_N; h++) { right[u][h] = x_tile[d * QUADS_N + h * THREADS_N + own_n]; }
      for (var g = 0u; g < GROUPS_M; g++) {
        let left = weight_tile[d * WEIGHT_STRIDE + own_m + g];
        for (var v = 0u; v < 4u; v++) {
          for (var h = 0u; h < GROUPS_N; h++) {
            let i = (4u * g + v) * GROUPS_N + h;
            (*sum)[i] = fma(vec4f(left[v]), right[u][h], (*sum)[i]);
          }
        }
      }
    }
  }
}

// Writes the thread's sums to y.
fn write(
  k0: u32,
  pixel0: u32,
  rows: Lattice,
  columns: Lattice,
  m: u32,
  n: u32,
  sum: ptr<function, Sums>,
) {
  let stride = select(1u, STRIDE, TRANSPOSED);
  let per_image = rows.count * columns.count;
  for (var j = 0u; j < TN; j++) {
    let pixel = pixel0 + n + j * THREADS_N;
    if (pixel < params.images * per_image) {
      let within = pixel % per_image;
      let p = rows.first + within / columns.count * stride;
      let q = columns.first + within % columns.count * stride;
      for (var i = 0u; i < TM; i++) {
        let k = k0 + i % 4u * QUADS_M + m * GROUPS_M + i / 4u;
        if (k < K) {
          let at = ((pixel / per_image * K + k) * P + p) * Q + q;
          let value = (*sum)[i * GROUPS_N + j / 4u][j % 4u];
          if (ACCUMULATE) { y[at] = Stored(f32(y[at]) + value); } else { y[at] = Stored(value); }
        }
      }
    }
  }
}
