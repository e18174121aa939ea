// matmul/tiled-narrow: C = op(A)·op(B), for adapters with narrow subgroups (lavapipe: 8 lanes).
//
//   C[m,n] = Σ_k op(A)[m,k] · op(B)[k,n]   (+ bias[n])   (+ the old C)
//
// With more than one slice, c holds the sums of every `slice` consecutive terms: [slices, rows, columns].
// One subgroup computes a tile of GROUPS·ROWS × COLUMNS·LANES by outer products. Its lanes share the columns. Each number of A and B is
// loaded by one lane, once per tile; a shuffle passes a number of A to the other lanes. On a software adapter a load of eight numbers
// costs as much as ten multiply-adds, so the tile is as large as it can be before its unrolled loop outgrows the CPU's instruction
// cache and gets slower.
// The driver unrolls every loop but the one over terms. It does so only if a loop covers the whole length of the arrays it indexes;
// the shapes of the arrays follow from that.
// Strides say how A, B and C are stored. They are params, not overrides, so that one pipeline serves all shapes, at the same speed.
// The terms of a sum are added in order, whatever the tile.
// Dispatch: (columns / (COLUMNS · LANES), rows / (GROUPS · ROWS), slices), rounded up; each matrix below 2³² numbers.
enable subgroups;

// @import lib/loop.wgsl

override BIAS: bool;
override ACCUMULATE: bool;     // C += instead of C =
alias StoredA = f32;           // @spec  A in memory: f16 in mixed precision if A is an activation
alias StoredB = f32;           // @spec  B likewise
alias StoredC = f32;           // @spec  C likewise
const LANES: u32 = 8u;         // @spec  lanes of a subgroup, which is the workgroup
const GROUPS: u32 = 4u;        // @spec
const ROWS: u32 = 8u;          // @spec  rows of a group, at most LANES
const COLUMNS: u32 = 8u;       // @spec  columns of a lane
const STEP: u32 = 4u;          // @spec  terms per iteration of the loop

@group(0) @binding(0) var<storage, read> a: array<StoredA>;        // op(A) [rows, depth]
@group(0) @binding(1) var<storage, read> b: array<StoredB>;        // op(B) [depth, columns]
@group(0) @binding(2) var<storage, read> bias: array<f32>;         // [columns], any buffer without BIAS
@group(0) @binding(3) var<storage, read_write> c: array<StoredC>;  // [slices, rows, columns]
struct Params {
  rows: u32,
  columns: u32,
  depth: i32,                  // terms of a sum
  slice: i32,                  // terms of a slice
  a_row: u32,                  // from one row of op(A) to the next
  a_term: u32,                 // from one column of op(A) to the next
  b_term: u32,                 // from one row of op(B) to the next
  b_column: u32,
  c_row: u32,
  c_column: u32,
  bias_row: u32,               // 0, or 1 if the bias has a value per row
  bias_column: u32,            // 1, or 0 if the bias has a value per row
  neighbors: u32,              // 1: a lane's own rows and columns are neighbors; 0: the lanes' are
}
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let a_term = params.a_term;
  let b_term = params.b_term;
  // Where the terms of a sum lie far apart, each is a cache miss. With a lane's columns side by side, the first load of a term
  // meets all of its cache lines at once, and the others find them there.
  let neighbors = params.neighbors == 1u;
  let lane_row = select(1u, GROUPS, neighbors);
  let group_row = select(ROWS, 1u, neighbors);
  let lane_column = select(1u, COLUMNS, neighbors);
  let next_column = select(LANES, 1u, neighbors);
  let first_row = workgroup.y * GROUPS * ROWS;
  let first_column = workgroup.x * COLUMNS * LANES + lane * lane_column;

  // Rows and columns beyond the edge repeat the last one and are not stored.
  var row = array<u32, GROUPS>();
  for (var g = 0u; g < GROUPS; g++) {
    row[g] = min(first_row + g * group_row + lane * lane_row, params.rows - 1u) * params.a_row;
  }
  var column = array<u32, COLUMNS>();
  for (var j = 0u; j < COLUMNS; j++) {
    column[j] = min(first_column + j * next_column, params.columns - 1u) * params.b_column;
  }

  var sum = array<array<array<f32, COLUMNS>, ROWS>, GROUPS>();
  let start = i32(workgroup.z) * params.slice;
  let end = min(start + params.slice, params.depth);
  for (var k = start; k < FOREVER; k += i32(STEP)) {
    if (k >= end) { break; }
    // Terms beyond the last are 0 · 0.
    var exists = array<bool, STEP>();
    var term = array<u32, STEP>();
    for (var s = 0u; s < STEP; s++) {
      exists[s] = k + i32(s) < end;
      term[s] = u32(min(k + i32(s), end - 1));
    }
    // Loads the terms of one column one after another: if they are adjacent in memory, they share a cache line.
    var right = array<array<f32, STEP>, COLUMNS>();
    for (var j = 0u; j < COLUMNS; j++) {
      for (var s = 0u; s < STEP; s++) { right[j][s] = select(0.0, f32(b[column[j] + term[s] * b_term]), exists[s]); }
    }
    for (var g = 0u; g < GROUPS; g++) {
      var left = array<f32, STEP>();
      for (var s = 0u; s < STEP; s++) { left[s] = select(0.0, f32(a[row[g] + term[s] * a_term]), exists[s]); }
      for (var r = 0u; r < ROWS; r++) {
        for (var s = 0u; s < STEP; s++) {
          let spread = subgroupShuffle(left[s], r);
          for (var j = 0u; j < COLUMNS; j++) { sum[g][r][j] = fma(spread, right[j][s], sum[g][r][j]); }
        }
      }
    }
  }

  var bias_of_row = array<f32, GROUPS>();
  if (BIAS) {
    for (var g = 0u; g < GROUPS; g++) {
      let m = min(first_row + g * group_row + lane * lane_row, params.rows - 1u);
      bias_of_row[g] = bias[m * params.bias_row];
    }
  }
  // Copies, because the driver reads params again after every write.
  let rows = params.rows;
  let c_row = params.c_row;
  let bias_along_rows = params.bias_row == 1u;
  let corner = workgroup.z * rows * params.columns + first_row * c_row;
  for (var j = 0u; j < COLUMNS; j++) {
    let n = first_column + j * next_column;
    var bias_of_column = 0.0;
    if (BIAS) { bias_of_column = bias[min(n, params.columns - 1u) * params.bias_column]; }
    for (var g = 0u; g < GROUPS; g++) {
      for (var r = 0u; r < ROWS; r++) {
        if (BIAS) { sum[g][r][j] += select(bias_of_column, subgroupShuffle(bias_of_row[g], r), bias_along_rows); }
      }
    }
    if (n < params.columns) {
      let top = corner + n * params.c_column;
      for (var g = 0u; g < GROUPS; g++) {
        for (var r = 0u; r < ROWS; r++) {
          let m = g * group_row + r * lane_row;
          if (first_row + m < rows) {
            let i = top + m * c_row;
            var value = sum[g][r][j];
            if (ACCUMULATE) { value += f32(c[i]); }
            c[i] = StoredC(value);
          }
        }
      }
    }
  }
}
