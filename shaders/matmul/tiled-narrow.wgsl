// matmul/tiled-narrow: C = op(A)·op(B), for adapters with narrow subgroups (lavapipe: 8 lanes).
//
//   C[m,n] = Σ_k op(A)[m,k] · op(B)[k,n]   (+ bias[n])   (+ what C holds)
//
// One subgroup computes a tile of ROWS × 4·LANES by outer products: lanes lie along the columns, each value of A and B
// is loaded by one lane, once per tile, and a value of A reaches the others by a shuffle. On a software adapter a
// load costs ten multiply-adds and workgroup memory more than that.
// Strides say how A, B and C are stored; as params, not overrides, one pipeline serves all shapes, at the same speed.
// Dispatch: (columns / (4 · LANES), rows / ROWS), rounded up; each matrix below 2³² numbers.
enable subgroups;

// @import lib/loop.wgsl

override BIAS: bool;
override ACCUMULATE: bool;     // add to what C holds
alias StoredA = f32;           // @spec  of A in memory: f16 in mixed precision, as far as A is an activation
alias StoredB = f32;           // @spec  of B, likewise
alias StoredC = f32;           // @spec  of C, likewise
const LANES: u32 = 8u;         // @spec  a subgroup, and the workgroup
const ROWS: u32 = 16u;         // @spec  a multiple of LANES; 16 · 4 accumulators of a lane are what the compiler unrolls
const STEP: u32 = 8u;          // @spec  terms of one trip of the main loop
const GROUPS: u32 = ROWS / LANES;

@group(0) @binding(0) var<storage, read> a: array<StoredA>;        // op(A) [rows, depth]
@group(0) @binding(1) var<storage, read> b: array<StoredB>;        // op(B) [depth, columns]
@group(0) @binding(2) var<storage, read> bias: array<f32>;         // [columns], or anything without BIAS
@group(0) @binding(3) var<storage, read_write> c: array<StoredC>;  // [rows, columns]
struct Params {
  rows: u32,
  columns: u32,
  depth: i32,                  // terms of a sum
  a_row: u32,                  // from one row of op(A) to the next
  a_term: u32,                 // from one column of op(A) to the next
  b_term: u32,                 // from one row of op(B) to the next
  b_column: u32,
  c_row: u32,
  c_column: u32,
  bias_row: u32,               // 0, or 1 if the bias lies along the rows
  bias_column: u32,            // 1, or 0 if the bias lies along the rows
}
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let first_row = workgroup.y * ROWS;
  let first_column = workgroup.x * 4u * LANES + lane;
  let a_term = params.a_term;
  let b_term = params.b_term;
  let depth = params.depth;

  // Rows and columns beyond the edge repeat the last one and are not stored.
  var row = array<u32, GROUPS>();
  for (var g = 0u; g < GROUPS; g++) {
    row[g] = min(first_row + g * LANES + lane, params.rows - 1u) * params.a_row;
  }
  let across = first_column + LANES * vec4u(0u, 1u, 2u, 3u);
  let column = min(across, vec4u(params.columns - 1u)) * params.b_column;

  var sum = array<vec4f, ROWS>();
  let trips = depth / i32(STEP);
  for (var trip = 0; trip < FOREVER; trip++) {
    if (trip >= trips) { break; }
    let k0 = u32(trip) * STEP;
    var right = array<vec4f, STEP>();
    for (var s = 0u; s < STEP; s++) { right[s] = row_of_b(column + (k0 + s) * b_term); }
    for (var g = 0u; g < GROUPS; g++) {
      var left = array<f32, STEP>();
      for (var s = 0u; s < STEP; s++) { left[s] = f32(a[row[g] + (k0 + s) * a_term]); }
      for (var r = 0u; r < LANES; r++) {
        for (var s = 0u; s < STEP; s++) {
          sum[g * LANES + r] = fma(vec4f(subgroupShuffle(left[s], r)), right[s], sum[g * LANES + r]);
        }
      }
    }
  }
  for (var k = trips * i32(STEP); k < FOREVER; k++) {
    if (k >= depth) { break; }
    let right = row_of_b(column + u32(k) * b_term);
    for (var g = 0u; g < GROUPS; g++) {
      let left = f32(a[row[g] + u32(k) * a_term]);
      for (var r = 0u; r < LANES; r++) {
        sum[g * LANES + r] = fma(vec4f(subgroupShuffle(left, r)), right, sum[g * LANES + r]);
      }
    }
  }

  var bias_of_row = array<f32, GROUPS>();
  var bias_of_column = vec4f();
  if (BIAS) {
    for (var g = 0u; g < GROUPS; g++) {
      bias_of_row[g] = bias[min(first_row + g * LANES + lane, params.rows - 1u) * params.bias_row];
    }
    let at = min(across, vec4u(params.columns - 1u)) * params.bias_column;
    bias_of_column = vec4f(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
  }
  for (var r = 0u; r < ROWS; r++) {
    if (BIAS) {
      let spread = vec4f(subgroupShuffle(bias_of_row[r / LANES], r % LANES));
      sum[r] += select(bias_of_column, spread, params.bias_row == 1u);
    }
    let m = first_row + r;
    for (var j = 0u; j < 4u; j++) {
      let n = across[j];
      if (m < params.rows && n < params.columns) {
        let i = m * params.c_row + n * params.c_column;
        var value = sum[r][j];
        if (ACCUMULATE) { value += f32(c[i]); }
        c[i] = StoredC(value);
      }
    }
  }
}

// Four columns of op(B), at these places.
fn row_of_b(at: vec4u) -> vec4f {
  return vec4f(f32(b[at.x]), f32(b[at.y]), f32(b[at.z]), f32(b[at.w]));
}
