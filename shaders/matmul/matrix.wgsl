// matmul/matrix: C = op(A)·op(B) on subgroup matrices ("tensor cores"), for f16 activations, with sums in f32.
//
//   C[z,m,n] = Σ_k op(A)[m,k] · op(B)[k,n]   k ∈ slice z   (+ bias[n])   (+ the old C)
//
// Operands are rounded to Component. A workgroup computes TILE_M × TILE_N of C, in steps of DEPTH terms:
//   1. threads fetch op(A) and op(B) of the step into registers, while the previous step is multiplied;
//   2. they store them in workgroup memory, terms innermost whether transposed or not: blocks of 4 × 4 numbers are transposed in registers;
//   3. each subgroup adds to its BLOCKS_M × BLOCKS_N matrices of sums (conv2d/forward-matrix says what a subgroup matrix is).
// Dispatch: (ceil(columns / TILE_N), ceil(rows / TILE_M), slices).
// @products BLOCKS_M * BLOCKS_N * DEPTH / D

// @import lib/loop.wgsl

enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;

override BIAS: bool;
override ACCUMULATE: bool;
const TRANSPOSE_A: bool = false; // @spec  A is stored as [depth, rows]
const TRANSPOSE_B: bool = false; // @spec  B is stored as [columns, depth]
alias StoredA = vec4h;           // @spec  WIDTH_A neighbours in a line of A in memory
alias StoredB = vec4h;           // @spec
alias StoredC = f16;             // @spec
const WIDTH_A: u32 = 4u;         // @spec  4 where it divides the line, else 1
const WIDTH_B: u32 = 4u;         // @spec
alias Component = f16;           // @spec  element type of the matrices that are multiplied
const M: u32 = 8u;               // @spec
const N: u32 = 8u;               // @spec
const D: u32 = 8u;               // @spec
const LANES: u32 = 8u;           // @spec  lanes of a subgroup
const SUBGROUPS_M: u32 = 2u;     // @spec  subgroups of a workgroup
const SUBGROUPS_N: u32 = 2u;     // @spec
const BLOCKS_M: u32 = 2u;        // @spec  matrices of sums per subgroup
const BLOCKS_N: u32 = 2u;        // @spec
const DEPTH: u32 = 32u;          // @spec  terms per step, a multiple of D

const SUBGROUPS = SUBGROUPS_M * SUBGROUPS_N;
const THREADS = SUBGROUPS * LANES;
const TILE_M = SUBGROUPS_M * BLOCKS_M * M;
const TILE_N = SUBGROUPS_N * BLOCKS_N * N;
const QUADS = DEPTH / 4u;
const LINE = QUADS + 2u;         // vec4 per row of op(A) and per column of op(B), padded so that lanes use different banks
const QUADS_A = TILE_M / 4u;
const QUADS_B = TILE_N / 4u;
const A_ITEMS = QUADS_A * QUADS;
const B_ITEMS = QUADS_B * QUADS;
const A_LOADS = (A_ITEMS + THREADS - 1u) / THREADS;
const B_LOADS = (B_ITEMS + THREADS - 1u) / THREADS;
const QUADS_N = N / 4u;
const PIECES = (SUBGROUPS * M * QUADS_N + THREADS - 1u) / THREADS;  // vec4 that a thread writes to C per round
// A matrix load must start at a multiple of 16 bytes.
const_assert DEPTH % D == 0u && D % 8u == 0u && M % 4u == 0u && N % 4u == 0u;

alias Left = subgroup_matrix_left<Component, D, M>;
alias Right = subgroup_matrix_right<Component, N, D>;
alias Sums = subgroup_matrix_result<f32, N, M>;

@group(0) @binding(0) var<storage, read> a: array<StoredA>;        // op(A) [rows, depth]
@group(0) @binding(1) var<storage, read> b: array<StoredB>;        // op(B) [depth, columns]
@group(0) @binding(2) var<storage, read> bias: array<f32>;         // [columns], any buffer without BIAS
@group(0) @binding(3) var<storage, read_write> c: array<StoredC>;  // [slices, rows, columns]
struct Params { rows: u32, columns: u32, depth: u32, steps: u32 }  // steps of a slice
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> a_tile: array<vec4<Component>, TILE_M * LINE>;  // [row, term]
var<workgroup> b_tile: array<vec4<Component>, TILE_N * LINE>;  // [column, term]
var<workgroup> scratch: array<f32, SUBGROUPS * M * N>;

alias AShare = array<array<vec4<Component>, 4>, A_LOADS>;
alias BShare = array<array<vec4<Component>, 4>, B_LOADS>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(local_invocation_index) thread: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let m0 = wg.y * TILE_M;
  let n0 = wg.x * TILE_N;
  // If subgroups have fewer lanes than LANES, there are more subgroups; the extra ones only help with steps 1 and 2.
  let multiplies = subgroup < SUBGROUPS;
  let block_m = subgroup % SUBGROUPS_M * BLOCKS_M;
  let block_n = subgroup / SUBGROUPS_M * BLOCKS_N;

  var a_share = AShare();
  var b_share = BShare();
  var sums: array<array<Sums, BLOCKS_N>, BLOCKS_M>;
  // One iteration more than there are steps: each fetches its own step and multiplies the one fetched before it.
  var step = 0u;
  for (var trip = 0; trip < FOREVER; trip++) {
    let fetches = step < params.steps;
    if (fetches) {
      let k0 = (wg.z * params.steps + step) * DEPTH;
      fetch_a(m0, k0, thread, &a_share);
      fetch_b(n0, k0, thread, &b_share);
    }
    if (trip > 0 && multiplies) {
      for (var d = 0u; d < QUADS; d += D / 4u) {
        var left: array<Left, BLOCKS_M>;
        for (var i = 0u; i < BLOCKS_M; i++) {
          left[i] = subgroupMatrixLoad<Left, row_major>(&a_tile, (block_m + i) * M * LINE + d, LINE);
        }
        for (var j = 0u; j < BLOCKS_N; j++) {
          let right = subgroupMatrixLoad<Right, col_major>(&b_tile, (block_n + j) * N * LINE + d, LINE);
          for (var i = 0u; i < BLOCKS_M; i++) { sums[i][j] = subgroupMatrixMultiplyAccumulate(left[i], right, sums[i][j]); }
        }
      }
    }
    workgroupBarrier();  // every thread has read the previous step
    if (!fetches) { break; }
    store(thread, &a_share, &b_share);
    workgroupBarrier();
    step++;
  }

  // The sums are matrices, whose elements are visible only through workgroup memory: each round stores one matrix per subgroup.
  for (var i = 0u; i < BLOCKS_M; i++) {
    for (var j = 0u; j < BLOCKS_N; j++) {
      if (multiplies) { subgroupMatrixStore<row_major>(&scratch, subgroup * M * N, sums[i][j], N); }
      workgroupBarrier();
      for (var t = 0u; t < PIECES; t++) { write(wg.z, m0, n0, thread + t * THREADS, i, j); }
      workgroupBarrier();
    }
  }
}

// An item: four lines of op(A) or op(B) from `line` on, and four terms from `term` on. Neighbouring lanes take neighbours in memory.
struct Item { line: u32, term: u32 }

fn find_item_of_a(item: u32, it: ptr<function, Item>) {
  if (TRANSPOSE_A) { *it = Item(item % QUADS_A * 4u, min(item / QUADS_A, QUADS - 1u) * 4u); }
  else { *it = Item(min(item / QUADS, QUADS_A - 1u) * 4u, item % QUADS * 4u); }
}

fn find_item_of_b(item: u32, it: ptr<function, Item>) {
  if (TRANSPOSE_B) { *it = Item(min(item / QUADS, QUADS_B - 1u) * 4u, item % QUADS * 4u); }
  else { *it = Item(item % QUADS_B * 4u, min(item / QUADS_B, QUADS - 1u) * 4u); }
}

// Step 1. A is stored term by term within a row, or TRANSPOSE_A row by row within a term; numbers outside A are 0.
fn fetch_a(m0: u32, k0: u32, thread: u32, share: ptr<function, AShare>) {
  let length = select(params.depth, params.rows, TRANSPOSE_A);
  let lines = select(params.rows, params.depth, TRANSPOSE_A);
  for (var i = 0u; i < A_LOADS; i++) {
    var it = Item();
    find_item_of_a(thread + i * THREADS, &it);
    let place = select(k0 + it.term, m0 + it.line, TRANSPOSE_A);
    for (var u = 0u; u < 4u; u++) {
      let line = select(m0 + it.line, k0 + it.term, TRANSPOSE_A) + u;
      for (var v = 0u; v < 4u; v += WIDTH_A) {
        let is_there = line < lines && place + v < length;
        let found = vec4<Component>(a[select(0u, (line * length + place + v) / WIDTH_A, is_there)]);
        let values = select(vec4<Component>(), found, is_there);
        if (WIDTH_A == 4u) { (*share)[i][u] = values; } else { (*share)[i][u][v] = values[0]; }
      }
    }
  }
}

fn fetch_b(n0: u32, k0: u32, thread: u32, share: ptr<function, BShare>) {
  let length = select(params.columns, params.depth, TRANSPOSE_B);
  let lines = select(params.depth, params.columns, TRANSPOSE_B);
  for (var i = 0u; i < B_LOADS; i++) {
    var it = Item();
    find_item_of_b(thread + i * THREADS, &it);
    let place = select(n0 + it.line, k0 + it.term, TRANSPOSE_B);
    for (var u = 0u; u < 4u; u++) {
      let line = select(k0 + it.term, n0 + it.line, TRANSPOSE_B) + u;
      for (var v = 0u; v < 4u; v += WIDTH_B) {
        let is_there = line < lines && place + v < length;
        let found = vec4<Component>(b[select(0u, (line * length + place + v) / WIDTH_B, is_there)]);
        let values = select(vec4<Component>(), found, is_there);
        if (WIDTH_B == 4u) { (*share)[i][u] = values; } else { (*share)[i][u][v] = values[0]; }
      }
    }
  }
}

// Step 2.
fn store(thread: u32, a_share: ptr<function, AShare>, b_share: ptr<function, BShare>) {
  for (var i = 0u; i < A_LOADS; i++) {
    let item = thread + i * THREADS;
    var it = Item();
    find_item_of_a(item, &it);
    for (var u = 0u; u < 4u; u++) {
      let four = &(*a_share)[i];
      let turned = vec4<Component>((*four)[0][u], (*four)[1][u], (*four)[2][u], (*four)[3][u]);
      if (A_ITEMS % THREADS == 0u || item < A_ITEMS) {
        a_tile[(it.line + u) * LINE + it.term / 4u] = select((*four)[u], turned, TRANSPOSE_A);
      }
    }
  }
  for (var i = 0u; i < B_LOADS; i++) {
    let item = thread + i * THREADS;
    var it = Item();
    find_item_of_b(item, &it);
    for (var u = 0u; u < 4u; u++) {
      let four = &(*b_share)[i];
      let turned = vec4<Component>((*four)[0][u], (*four)[1][u], (*four)[2][u], (*four)[3][u]);
      if (B_ITEMS % THREADS == 0u || item < B_ITEMS) {
        b_tile[(it.line + u) * LINE + it.term / 4u] = select(turned, (*four)[u], TRANSPOSE_B);
      }
    }
  }
}

// Writes four neighbouring sums of a row, of the round (i, j), from scratch to C.
fn write(slice: u32, m0: u32, n0: u32, item: u32, i: u32, j: u32) {
  let owner = min(item / (M * QUADS_N), SUBGROUPS - 1u);
  let m = m0 + (owner % SUBGROUPS_M * BLOCKS_M + i) * M + item / QUADS_N % M;
  let n = n0 + (owner / SUBGROUPS_M * BLOCKS_N + j) * N + item % QUADS_N * 4u;
  if (item >= SUBGROUPS * M * QUADS_N || m >= params.rows) { return; }
  let at = (slice * params.rows + m) * params.columns + n;
  for (var v = 0u; v < 4u; v++) {
    if (n + v < params.columns) {
      var value = scratch[min(item, SUBGROUPS * M * QUADS_N - 1u) * 4u + v];
      if (BIAS && slice == 0u) { value += bias[n + v]; }
      if (ACCUMULATE) { value += f32(c[at + v]); }
      c[at + v] = StoredC(value);
    }
  }
}
