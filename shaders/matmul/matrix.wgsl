// matmul/matrix: C = op(A)·op(B) on subgroup matrices ("tensor cores"), for f16 activations, with sums in f32.
//
//   C[z,m,n] = Σ_k op(A)[m,k] · op(B)[k,n]   k ∈ slice z   (+ bias[n])   (+ the old C)
//
// Operands are rounded to Component. A workgroup computes TILE_M × TILE_N of C, in steps of DEPTH terms:
//   1. threads load op(A) and op(B) of the step from memory into registers, in squares of 4 × 4 numbers, while the previous step is
//      multiplied;
//   2. they store the squares in workgroup memory, terms innermost. Where memory has them the other way round, a square is transposed
//      on the way;
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
const SQUARES_A = QUADS_A * QUADS;  // squares of 4 × 4 numbers in the tile of op(A)
const SQUARES_B = QUADS_B * QUADS;
const OWN_A = (SQUARES_A + THREADS - 1u) / THREADS;  // and how many of them a thread loads
const OWN_B = (SQUARES_B + THREADS - 1u) / THREADS;
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

// The squares that a thread loads in a step, each as four vec4 in the order of memory.
alias OwnA = array<array<vec4<Component>, 4>, OWN_A>;
alias OwnB = array<array<vec4<Component>, 4>, OWN_B>;

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

  var own_a = OwnA();
  var own_b = OwnB();
  var sums: array<array<Sums, BLOCKS_N>, BLOCKS_M>;
  // One iteration more than there are steps: each loads its own step and multiplies the one loaded before it.
  var step = 0u;
  for (var iteration = 0; iteration < FOREVER; iteration++) {
    let loads = step < params.steps;
    if (loads) {
      let k0 = (wg.z * params.steps + step) * DEPTH;
      load_a(m0, k0, thread, &own_a);
      load_b(n0, k0, thread, &own_b);
    }
    if (iteration > 0 && multiplies) {
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
    if (!loads) { break; }
    store(thread, &own_a, &own_b);
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

// A square of 4 × 4 numbers of a tile: rows of op(A), or columns of op(B), from `line` on, and terms from `term` on. Squares are numbered
// so that neighbouring threads load neighbours in memory. The numbers past the last square repeat one, which is not stored.
struct Square { line: u32, term: u32 }

fn square_of_a(index: u32, square: ptr<function, Square>) {
  if (TRANSPOSE_A) { *square = Square(index % QUADS_A * 4u, min(index / QUADS_A, QUADS - 1u) * 4u); }
  else { *square = Square(min(index / QUADS, QUADS_A - 1u) * 4u, index % QUADS * 4u); }
}

fn square_of_b(index: u32, square: ptr<function, Square>) {
  if (TRANSPOSE_B) { *square = Square(min(index / QUADS, QUADS_B - 1u) * 4u, index % QUADS * 4u); }
  else { *square = Square(index % QUADS_B * 4u, min(index / QUADS_B, QUADS - 1u) * 4u); }
}

// Step 1 for A, a matrix [rows, depth], or [depth, rows] with TRANSPOSE_A. Numbers outside it are 0.
fn load_a(m0: u32, k0: u32, thread: u32, own: ptr<function, OwnA>) {
  let rows = select(params.rows, params.depth, TRANSPOSE_A);
  let columns = select(params.depth, params.rows, TRANSPOSE_A);
  for (var i = 0u; i < OWN_A; i++) {
    var square = Square();
    square_of_a(thread + i * THREADS, &square);
    let first_row = select(m0 + square.line, k0 + square.term, TRANSPOSE_A);
    let first_column = select(k0 + square.term, m0 + square.line, TRANSPOSE_A);
    for (var u = 0u; u < 4u; u++) {
      let row = first_row + u;
      for (var v = 0u; v < 4u; v += WIDTH_A) {
        let column = first_column + v;
        let inside = row < rows && column < columns;
        let loaded = vec4<Component>(a[select(0u, (row * columns + column) / WIDTH_A, inside)]);
        let values = select(vec4<Component>(), loaded, inside);
        if (WIDTH_A == 4u) { (*own)[i][u] = values; } else { (*own)[i][u][v] = values[0]; }
      }
    }
  }
}

// Step 1 for B, a matrix [depth, columns], or [columns, depth] with TRANSPOSE_B.
fn load_b(n0: u32, k0: u32, thread: u32, own: ptr<function, OwnB>) {
  let rows = select(params.depth, params.columns, TRANSPOSE_B);
  let columns = select(params.columns, params.depth, TRANSPOSE_B);
  for (var i = 0u; i < OWN_B; i++) {
    var square = Square();
    square_of_b(thread + i * THREADS, &square);
    let first_row = select(k0 + square.term, n0 + square.line, TRANSPOSE_B);
    let first_column = select(n0 + square.line, k0 + square.term, TRANSPOSE_B);
    for (var u = 0u; u < 4u; u++) {
      let row = first_row + u;
      for (var v = 0u; v < 4u; v += WIDTH_B) {
        let column = first_column + v;
        let inside = row < rows && column < columns;
        let loaded = vec4<Component>(b[select(0u, (row * columns + column) / WIDTH_B, inside)]);
        let values = select(vec4<Component>(), loaded, inside);
        if (WIDTH_B == 4u) { (*own)[i][u] = values; } else { (*own)[i][u][v] = values[0]; }
      }
    }
  }
}

// Step 2.
fn store(thread: u32, own_a: ptr<function, OwnA>, own_b: ptr<function, OwnB>) {
  for (var i = 0u; i < OWN_A; i++) {
    let index = thread + i * THREADS;
    var square = Square();
    square_of_a(index, &square);
    for (var u = 0u; u < 4u; u++) {
      let four = &(*own_a)[i];
      let transposed = vec4<Component>((*four)[0][u], (*four)[1][u], (*four)[2][u], (*four)[3][u]);
      if (SQUARES_A % THREADS == 0u || index < SQUARES_A) {
        a_tile[(square.line + u) * LINE + square.term / 4u] = select((*four)[u], transposed, TRANSPOSE_A);
      }
    }
  }
  for (var i = 0u; i < OWN_B; i++) {
    let index = thread + i * THREADS;
    var square = Square();
    square_of_b(index, &square);
    for (var u = 0u; u < 4u; u++) {
      let four = &(*own_b)[i];
      let transposed = vec4<Component>((*four)[0][u], (*four)[1][u], (*four)[2][u], (*four)[3][u]);
      if (SQUARES_B % THREADS == 0u || index < SQUARES_B) {
        b_tile[(square.line + u) * LINE + square.term / 4u] = select(transposed, (*four)[u], TRANSPOSE_B);
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
