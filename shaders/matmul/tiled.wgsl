// matmul/tiled: C = op(A)·op(B), or its sum over slices of K.
//
//   C[z,m,n] = Σ_k op(A)[m,k] · op(B)[k,n]   k ∈ slice z   (+ bias[n])   (+ what C holds)
//
// A workgroup computes TILE_M × TILE_N of C. For TILE_K terms at a time it keeps op(A) and op(B) in workgroup memory, both
// with k outermost, so that a thread reads its MICRO_M rows and MICRO_N columns as vec4 and its neighbours read the
// vec4 beside it (no bank conflicts, no padding), and the next terms are under way from memory meanwhile.
// An 8 × 8 micro-tile does 64 multiply-adds per 4 vec4 read, where arithmetic and workgroup memory of a GPU balance.
// Shapes are params, not overrides: one pipeline serves all.
// Dispatch: (columns / TILE_N, rows / TILE_M, slices), rounded up; each matrix below 2³² numbers.
// @products MICRO_M * MICRO_N * TILE_K

// @import lib/loop.wgsl

override TRANSPOSE_A: bool;    // A is stored as [depth, rows]
override TRANSPOSE_B: bool;    // B is stored as [columns, depth]
override PACKED_A: bool;       // A is bound as vec4: its rows are a multiple of 4 long
override PACKED_B: bool;       // B likewise
override BIAS: bool;           // added to slice 0
override ACCUMULATE: bool;     // add to what C holds; with one slice only
alias PackA = f32;             // @spec  vec4f with PACKED_A
alias PackB = f32;             // @spec  vec4f with PACKED_B
const TILE_M: u32 = 64u;       // @spec
const TILE_N: u32 = 64u;       // @spec
const TILE_K: u32 = 16u;       // @spec
const MICRO_M: u32 = 8u;       // @spec  rows of a thread, a multiple of 4
const MICRO_N: u32 = 8u;       // @spec  columns of a thread, a multiple of 4

const THREADS_M: u32 = TILE_M / MICRO_M;
const THREADS_N: u32 = TILE_N / MICRO_N;
const THREADS: u32 = THREADS_M * THREADS_N;
const QUADS_M: u32 = TILE_M / 4u;
const QUADS_N: u32 = TILE_N / 4u;
const QUADS_K: u32 = TILE_K / 4u;
const GROUPS_M: u32 = MICRO_M / 4u;
const GROUPS_N: u32 = MICRO_N / 4u;
// The tiles are fetched in blocks of 4 × 4, the same number by each thread.
const BLOCKS_A: u32 = QUADS_M * QUADS_K;
const BLOCKS: u32 = (BLOCKS_A + QUADS_N * QUADS_K) / THREADS;
const_assert BLOCKS * THREADS == BLOCKS_A + QUADS_N * QUADS_K;
const_assert THREADS_M % 4u == 0u && THREADS_N % 8u == 0u && QUADS_M % 8u == 0u && QUADS_N % 8u == 0u;

@group(0) @binding(0) var<storage, read> a: array<PackA>;      // op(A) [rows, depth]
@group(0) @binding(1) var<storage, read> b: array<PackB>;      // op(B) [depth, columns]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [columns], or anything without BIAS
@group(0) @binding(3) var<storage, read_write> c: array<f32>;  // [slices, rows, columns]
struct Params {
  rows: u32,
  columns: u32,
  depth: u32,                  // terms of a sum
  steps: i32,                  // of TILE_K terms, in a slice
}
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> tile_a: array<vec4f, TILE_K * QUADS_M>;         // [TILE_K, TILE_M]
var<workgroup> tile_b: array<vec4f, TILE_K * QUADS_N>;         // [TILE_K, TILE_N]

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) thread: u32) {
  let m0 = workgroup.y * TILE_M;
  let n0 = workgroup.x * TILE_N;
  // Each 32 threads make a patch of 8 × 4, whose reads of both tiles are short and shared.
  let thread_n = thread % 8u + thread / 32u % (THREADS_N / 8u) * 8u;
  let thread_m = thread / 8u % 4u + thread / (4u * THREADS_N) * 4u;
  let steps = params.steps;

  var sum = array<vec4f, MICRO_M * GROUPS_N>();
  var fetched = array<mat4x4f, BLOCKS>();
  // One trip more than steps: a trip fetches its own terms and sums those that the trip before it fetched.
  for (var step = 0; step < FOREVER; step++) {
    if (step > steps) { break; }
    if (step < steps) {
      let k0 = (workgroup.z * u32(steps) + u32(step)) * TILE_K;
      for (var i = 0u; i < BLOCKS; i++) {
        let block = thread + i * THREADS;
        if (block < BLOCKS_A) {
          fetched[i] = block_of_a(m0 + 4u * quad(block), k0 + 4u * quad_k(block));
        } else {
          fetched[i] = block_of_b(n0 + 4u * quad(block - BLOCKS_A), k0 + 4u * quad_k(block - BLOCKS_A));
        }
      }
    }
    if (step > 0) {
      for (var k = 0u; k < TILE_K; k++) {
        var right = array<vec4f, GROUPS_N>();
        for (var h = 0u; h < GROUPS_N; h++) { right[h] = tile_b[k * QUADS_N + h * THREADS_N + thread_n]; }
        for (var g = 0u; g < GROUPS_M; g++) {
          let left = tile_a[k * QUADS_M + g * THREADS_M + thread_m];
          for (var h = 0u; h < GROUPS_N; h++) {
            let i = g * 4u * GROUPS_N + h;
            sum[i] = fma(vec4f(left.x), right[h], sum[i]);
            sum[i + GROUPS_N] = fma(vec4f(left.y), right[h], sum[i + GROUPS_N]);
            sum[i + 2u * GROUPS_N] = fma(vec4f(left.z), right[h], sum[i + 2u * GROUPS_N]);
            sum[i + 3u * GROUPS_N] = fma(vec4f(left.w), right[h], sum[i + 3u * GROUPS_N]);
          }
        }
      }
    }
    workgroupBarrier();
    if (step < steps) {
      for (var i = 0u; i < BLOCKS; i++) {
        let block = thread + i * THREADS;
        for (var j = 0u; j < 4u; j++) {
          if (block < BLOCKS_A) {
            tile_a[(4u * quad_k(block) + j) * QUADS_M + quad(block)] = fetched[i][j];
          } else {
            tile_b[(4u * quad_k(block - BLOCKS_A) + j) * QUADS_N + quad(block - BLOCKS_A)] = fetched[i][j];
          }
        }
      }
    }
    workgroupBarrier();
  }

  for (var r = 0u; r < MICRO_M; r++) {
    let m = m0 + (r / 4u * THREADS_M + thread_m) * 4u + r % 4u;
    for (var h = 0u; h < GROUPS_N; h++) {
      for (var j = 0u; j < 4u; j++) {
        let n = n0 + (h * THREADS_N + thread_n) * 4u + j;
        if (m < params.rows && n < params.columns) {
          let i = (workgroup.z * params.rows + m) * params.columns + n;
          var value = sum[r * GROUPS_N + h][j];
          if (BIAS && workgroup.z == 0u) { value += bias[n]; }
          if (ACCUMULATE) { value += c[i]; }
          c[i] = value;
        }
      }
    }
  }
}

// Place of a block in its tile: 8 consecutive threads take 8 consecutive quads of rows (or columns), so that they write
// 8 consecutive vec4 of workgroup memory; the next 8 take the next 4 terms, so that 32 read whole lines of memory.
fn quad(block: u32) -> u32 { return block % 8u + block / (8u * QUADS_K) * 8u; }
fn quad_k(block: u32) -> u32 { return block / 8u % QUADS_K; }

// op(A)[m … m+3, k … k+3]: four vec4 along m, for k to k+3; 0 beyond the edges.
fn block_of_a(m: u32, k: u32) -> mat4x4f {
  if (TRANSPOSE_A) { return mat4x4f(row_of_a(k, m), row_of_a(k + 1u, m), row_of_a(k + 2u, m), row_of_a(k + 3u, m)); }
  return transpose(mat4x4f(row_of_a(m, k), row_of_a(m + 1u, k), row_of_a(m + 2u, k), row_of_a(m + 3u, k)));
}

// op(B)[k … k+3, n … n+3]: four vec4 along n, for k to k+3; 0 beyond the edges.
fn block_of_b(n: u32, k: u32) -> mat4x4f {
  if (!TRANSPOSE_B) { return mat4x4f(row_of_b(k, n), row_of_b(k + 1u, n), row_of_b(k + 2u, n), row_of_b(k + 3u, n)); }
  return transpose(mat4x4f(row_of_b(n, k), row_of_b(n + 1u, k), row_of_b(n + 2u, k), row_of_b(n + 3u, k)));
}

// Four numbers of a row of A as it is stored.
fn row_of_a(row: u32, column: u32) -> vec4f {
  let width = select(params.depth, params.rows, TRANSPOSE_A);
  var values = vec4f();
  if (row < select(params.rows, params.depth, TRANSPOSE_A) && column < width) {
    let start = row * width + column;
    if (PACKED_A) {
      values = vec4f(a[start / 4u]);
    } else {
      values.x = vec4f(a[start]).x;
      if (column + 1u < width) { values.y = vec4f(a[start + 1u]).x; }
      if (column + 2u < width) { values.z = vec4f(a[start + 2u]).x; }
      if (column + 3u < width) { values.w = vec4f(a[start + 3u]).x; }
    }
  }
  return values;
}

// Four numbers of a row of B as it is stored.
fn row_of_b(row: u32, column: u32) -> vec4f {
  let width = select(params.columns, params.depth, TRANSPOSE_B);
  var values = vec4f();
  if (row < select(params.depth, params.columns, TRANSPOSE_B) && column < width) {
    let start = row * width + column;
    if (PACKED_B) {
      values = vec4f(b[start / 4u]);
    } else {
      values.x = vec4f(b[start]).x;
      if (column + 1u < width) { values.y = vec4f(b[start + 1u]).x; }
      if (column + 2u < width) { values.z = vec4f(b[start + 2u]).x; }
      if (column + 3u < width) { values.w = vec4f(b[start + 3u]).x; }
    }
  }
  return values;
}
