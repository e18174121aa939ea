// conv2d/grad-weight: partial sums of the weight gradient as an implicit matrix product in workgroup tiles, for GPUs.
//
//   partials[i,k,c,r,s] = Σ dy[n,k,p,q] · x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING]
//
// over the i-th run of `pixels_per_split` of the N·P·Q output pixels (n, p, q); x outside its border is 0.
// reduce/sum-rows adds up the runs in order, so the result has the same bits every time. conv2d/grad-weight-patch is faster where it
// applies; this kernel handles every filter and stride.
// As a matrix product, dy is a matrix [K, pixels] and x a matrix [pixels, (c, r, s)], whose numbers are looked up when they are needed.
// A workgroup computes TN·THREADS_N of the C·R·S weights of each of TM·THREADS_M output channels, in steps of DEPTH pixels of its run:
//   1. fetch: each thread reads its share of both, at one pixel, from memory into registers;
//   2. store: into workgroup memory, where all threads see them;
//   3. multiply, while the next step is being fetched from memory.
// Dispatch: (ceil(K / tile channels), ceil(C·R·S / tile weights), splits).
// @products TM * TN * DEPTH

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
alias Stored = f32;          // @spec  x and dy in memory: f16 in mixed precision
const TM: u32 = 8u;          // @spec  output channels per thread, a multiple of 4
const TN: u32 = 4u;          // @spec  weights per thread, a multiple of 4
const THREADS_M: u32 = 8u;   // @spec
const THREADS_N: u32 = 16u;  // @spec
const DEPTH: u32 = 16u;      // @spec  pixels per step
const UNROLL: u32 = 1u;      // @spec  how many of a step's DEPTH products are written out one after another
const_assert TM % 4u == 0u && TN % 4u == 0u && DEPTH % UNROLL == 0u;

const THREADS = THREADS_M * THREADS_N;
const QUADS = TM * THREADS_M / 4u;  // output channels of a tile, four at a time
const TILE_N = TN * THREADS_N;
const QUADS_N = TILE_N / 4u;        // weights likewise, four that are THREADS_N apart
const GROUPS_N = TN / 4u;
const DY_LOADS = (DEPTH * QUADS + THREADS - 1u) / THREADS;
const X_LOADS = DEPTH * QUADS_N / THREADS;
const_assert DEPTH * QUADS_N % THREADS == 0u && THREADS % DEPTH == 0u;
// Odd, so that lanes, which store neighbouring pixels, use different banks.
const DY_STRIDE = QUADS + 1u;
const X_STRIDE = QUADS_N + 1u;
const_assert QUADS % 2u == 0u && QUADS_N % 2u == 0u;
// Every 32 threads form a block of up to 4 × 8, so that they share most of what they read of both tiles.
const PATCH_M = min(THREADS_M, 4u);
const PATCH_N = min(THREADS_N, 32u / PATCH_M);

@group(0) @binding(0) var<storage, read> x: array<Stored>;            // [N, C, H, W]
@group(0) @binding(1) var<storage, read> dy: array<Stored>;           // [N, K, P, Q]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;  // [splits, K, C, R, S]
struct Params { pixels: u32, pixels_per_split: u32 }                  // N·P·Q; pixels of a run
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> dy_tile: array<vec4f, DEPTH * DY_STRIDE>;
var<workgroup> x_tile: array<vec4f, DEPTH * X_STRIDE>;

// For the weights whose x a thread fetches: c·H·W + r·W + s, and r·2¹⁶ + s in one number to save registers. A weight past the last gets a
// place far outside x.
struct Weights { places: array<u32, 4u * X_LOADS>, taps: array<u32, 4u * X_LOADS> }

alias DyShare = array<vec4f, DY_LOADS>;
alias XShare = array<vec4f, X_LOADS>;
alias Sums = array<vec4f, TM * GROUPS_N>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let k0 = wg.x * TM * THREADS_M;
  let weight0 = wg.y * TILE_N;
  let n = lane % PATCH_N + lane / (PATCH_M * PATCH_N) % (THREADS_N / PATCH_N) * PATCH_N;
  let m = lane / PATCH_N % PATCH_M + lane / (PATCH_M * THREADS_N) * PATCH_M;

  var weights = Weights();
  plan(weight0, lane, &weights);
  var dy_share = DyShare();
  var x_share = XShare();
  var sum = Sums();
  var first = wg.z * params.pixels_per_split;
  let end = min(params.pixels, (wg.z + 1u) * params.pixels_per_split);
  // One iteration more than there are steps: each fetches its own pixels and multiplies those fetched before it.
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    let fetches = first < end;
    if (fetches) { fetch(first + lane % DEPTH, end, k0, lane, &weights, &dy_share, &x_share); }
    if (iteration > 0) { multiply(m, n, &sum); }
    workgroupBarrier();  // every thread has read the previous step's tiles
    if (!fetches) { break; }
    store(lane, &dy_share, &x_share);
    workgroupBarrier();
    first += DEPTH;
  }

  for (var i = 0u; i < TM; i++) {
    let k = k0 + m * TM + i;
    for (var j = 0u; j < TN; j++) {
      let at = weight0 + n + j * THREADS_N;
      if (k < K && at < C * R * S) { partials[(wg.z * K + k) * C * R * S + at] = sum[i * GROUPS_N + j / 4u][j % 4u]; }
    }
  }
}

fn plan(weight0: u32, lane: u32, weights: ptr<function, Weights>) {
  for (var i = 0u; i < X_LOADS; i++) {
    let slot = (lane + i * THREADS) / DEPTH;
    for (var v = 0u; v < 4u; v++) {
      let at = weight0 + slot % THREADS_N + (4u * (slot / THREADS_N) + v) * THREADS_N;
      let r = at / S % R;
      let s = at % S;
      (*weights).places[4u * i + v] = at / (R * S) * H * W + r * W + s;
      (*weights).taps[4u * i + v] = select(0x40004000u, (r << 16u) + s, at < C * R * S);
    }
  }
}

// Step 1, for one pixel. Where K is a multiple of the tile's channels, the compiler drops the bounds test. & makes no branch;
// && would.
fn fetch(
  pixel: u32,
  end: u32,
  k0: u32,
  lane: u32,
  weights: ptr<function, Weights>,
  dy_share: ptr<function, DyShare>,
  x_share: ptr<function, XShare>,
) {
  let image = pixel / (P * Q);
  let p = pixel / Q % P;
  let q = pixel % Q;
  for (var i = 0u; i < DY_LOADS; i++) {
    let k = k0 + (lane + i * THREADS) / DEPTH * 4u;
    let at = (image * K + k) * P * Q + p * Q + q;
    var four = vec4f();
    for (var v = 0u; v < 4u; v++) {
      let is_channel = (K % (TM * THREADS_M) == 0u && DEPTH * QUADS % THREADS == 0u) || k + v < K;
      let exists = (pixel < end) & is_channel;
      four[v] = select(0.0, f32(dy[select(0u, at + v * P * Q, exists)]), exists);
    }
    (*dy_share)[i] = four;
  }
  let top = p * STRIDE - PADDING;  // negative values wrap around, so the tests against H and W reject them
  let left = q * STRIDE - PADDING;
  let corner = image * C * H * W + top * W + left;
  for (var i = 0u; i < X_LOADS; i++) {
    var four = vec4f();
    for (var v = 0u; v < 4u; v++) {
      let tap = (*weights).taps[4u * i + v];
      let exists = (pixel < end) & (top + (tap >> 16u) < H) & (left + (tap & 0xffffu) < W);
      four[v] = select(0.0, f32(x[select(0u, corner + (*weights).places[4u * i + v], exists)]), exists);
    }
    (*x_share)[i] = four;
  }
}

// Step 2: pixels are the outermost index of both tiles.
fn store(lane: u32, dy_share: ptr<function, DyShare>, x_share: ptr<function, XShare>) {
  for (var i = 0u; i < DY_LOADS; i++) {
    let quad = (lane + i * THREADS) / DEPTH;
    if (quad < QUADS) { dy_tile[lane % DEPTH * DY_STRIDE + min(quad, QUADS - 1u)] = (*dy_share)[i]; }
  }
  for (var i = 0u; i < X_LOADS; i++) {
    let quad = (lane + i * THREADS) / DEPTH;
    x_tile[lane % DEPTH * X_STRIDE + min(quad, QUADS_N - 1u)] = (*x_share)[i];
  }
}

// Step 3: adds DEPTH products to each of the thread's sums. min() tells the compiler that reads stay inside the tiles, which
// saves a bounds test per read.
fn multiply(m: u32, n: u32, sum: ptr<function, Sums>) {
  let own_m = TM / 4u * min(m, THREADS_M - 1u);
  let own_n = min(n, THREADS_N - 1u);
  for (var d0 = 0u; d0 < DEPTH / UNROLL; d0++) {
    var right = array<array<vec4f, GROUPS_N>, UNROLL>();
    for (var u = 0u; u < UNROLL; u++) {
      let d = d0 * UNROLL + u;
      for (var h = 0u; h < GROUPS_N; h++) { right[u][h] = x_tile[d * X_STRIDE + h * THREADS_N + own_n]; }
      for (var g = 0u; g < TM / 4u; g++) {
        let left = dy_tile[d * DY_STRIDE + own_m + g];
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
