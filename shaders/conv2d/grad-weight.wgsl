// conv2d/grad-weight: partial sums of the weight gradient as an implicit matrix product in workgroup tiles, for GPUs.
//
//   partials[i,k,c,r,s] = Σ dy[n,k,p,q] · x[n, c, p·STRIDE + r − PADDING, q·STRIDE + s − PADDING]
//
// over the i-th run of `pixels_per_split` of the N·P·Q output pixels (n, p, q); x outside its border is 0.
// reduce/sum-rows adds the runs up in order, so the result has the same bits every time.
// A workgroup computes TM·THREADS_M output channels × TN·THREADS_N of the C·R·S weights of each, DEPTH pixels a step; while
// one step is summed the next is under way from memory.
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
const TM: u32 = 8u;          // @spec  output channels of a thread, a multiple of 4
const TN: u32 = 4u;          // @spec  weights of a thread, a multiple of 4
const THREADS_M: u32 = 8u;   // @spec
const THREADS_N: u32 = 16u;  // @spec
const DEPTH: u32 = 16u;      // @spec  pixels of one step
const UNROLL: u32 = 1u;      // @spec  of the DEPTH products of a step, those written out one after another
const_assert TM % 4u == 0u && TN % 4u == 0u && DEPTH % UNROLL == 0u;

const THREADS = THREADS_M * THREADS_N;
const QUADS = TM * THREADS_M / 4u;  // output channels of a tile, four at a time
const TILE_N = TN * THREADS_N;
const QUADS_N = TILE_N / 4u;        // weights likewise, the four THREADS_N apart
const GROUPS_N = TN / 4u;
const A_LOADS = (DEPTH * QUADS + THREADS - 1u) / THREADS;
const B_LOADS = DEPTH * QUADS_N / THREADS;
const_assert DEPTH * QUADS_N % THREADS == 0u && THREADS % DEPTH == 0u;
// Odd, so that the lanes of a store, which lie along the pixels, meet different banks.
const A_STRIDE = QUADS + 1u;
const B_STRIDE = QUADS_N + 1u;
const_assert QUADS % 2u == 0u && QUADS_N % 2u == 0u;
// Each 32 threads make a patch of up to 4 × 8, whose reads of both tiles are short and shared.
const PATCH_M = min(THREADS_M, 4u);
const PATCH_N = min(THREADS_N, 32u / PATCH_M);

@group(0) @binding(0) var<storage, read> x: array<f32>;               // [N, C, H, W]
@group(0) @binding(1) var<storage, read> dy: array<f32>;              // [N, K, P, Q]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;  // [splits, K, C, R, S]
struct Params { pixels: u32, pixels_per_split: u32, depth: u32 }      // N·P·Q; DEPTH once more, as a loop bound
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> a_tile: array<vec4f, DEPTH * A_STRIDE>;
var<workgroup> b_tile: array<vec4f, DEPTH * B_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let k0 = wg.x * TM * THREADS_M;
  let weight0 = wg.y * TILE_N;
  let n = lane % PATCH_N + lane / (PATCH_M * PATCH_N) % (THREADS_N / PATCH_N) * PATCH_N;
  let m = lane / PATCH_N % PATCH_M + lane / (PATCH_M * THREADS_N) * PATCH_M;

  // What this thread fetches for all: one pixel of each step, at these weights' places.
  let own_pixel = lane % DEPTH;
  var place = array<u32, B_LOADS * 4u>();  // c·H·W + r·W + s
  var tap = array<u32, B_LOADS * 4u>();    // r·2¹⁶ + s, in one number to save registers; a weight past the last is far outside x
  for (var i = 0u; i < B_LOADS; i++) {
    let slot = (lane + i * THREADS) / DEPTH;
    for (var v = 0u; v < 4u; v++) {
      let at = weight0 + slot % THREADS_N + (4u * (slot / THREADS_N) + v) * THREADS_N;
      let r = at / S % R;
      let s = at % S;
      place[4u * i + v] = at / (R * S) * H * W + r * W + s;
      tap[4u * i + v] = select(0x40004000u, (r << 16u) + s, at < C * R * S);
    }
  }

  var sum = array<vec4f, TM * GROUPS_N>();
  var a = array<vec4f, A_LOADS>();
  var b = array<vec4f, B_LOADS>();
  var first = wg.z * params.pixels_per_split;
  let end = min(params.pixels, (wg.z + 1u) * params.pixels_per_split);
  // One trip more than steps: a trip fetches its own pixels and sums those that the trip before it fetched.
  for (var trip = 0; trip < FOREVER; trip++) {
    if (first < end) {
      let pixel = first + own_pixel;
      let image = pixel / (P * Q);
      let p = pixel / Q % P;
      let q = pixel % Q;
      for (var i = 0u; i < A_LOADS; i++) {
        let k = k0 + (lane + i * THREADS) / DEPTH * 4u;
        let at = (image * K + k) * P * Q + p * Q + q;
        for (var v = 0u; v < 4u; v++) {
          let is_there = pixel < end && k + v < K;
          a[i][v] = select(0.0, dy[select(0u, at + v * P * Q, is_there)], is_there);
        }
      }
      let top = p * STRIDE - PADDING;  // below zero these wrap around, and so are not below H and W
      let left = q * STRIDE - PADDING;
      let corner = image * C * H * W + top * W + left;
      for (var i = 0u; i < B_LOADS; i++) {
        for (var v = 0u; v < 4u; v++) {
          let is_there = pixel < end && top + (tap[4u * i + v] >> 16u) < H && left + (tap[4u * i + v] & 0xffffu) < W;
          b[i][v] = select(0.0, x[select(0u, corner + place[4u * i + v], is_there)], is_there);
        }
      }
    }
    if (trip > 0) {
      for (var d0 = 0u; d0 < params.depth; d0 += UNROLL) {
        for (var u = 0u; u < UNROLL; u++) {
          let d = d0 + u;
          var right = array<vec4f, GROUPS_N>();
          for (var h = 0u; h < GROUPS_N; h++) { right[h] = b_tile[d * B_STRIDE + h * THREADS_N + n]; }
          for (var g = 0u; g < TM / 4u; g++) {
            let left = a_tile[d * A_STRIDE + m * (TM / 4u) + g];
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
    if (first >= end) { break; }
    for (var i = 0u; i < A_LOADS; i++) {
      let quad = (lane + i * THREADS) / DEPTH;
      if (quad < QUADS) { a_tile[own_pixel * A_STRIDE + quad] = a[i]; }
    }
    for (var i = 0u; i < B_LOADS; i++) { b_tile[own_pixel * B_STRIDE + (lane + i * THREADS) / DEPTH] = b[i]; }
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
