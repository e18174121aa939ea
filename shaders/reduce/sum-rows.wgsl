// reduce/sum-rows: the sum of the rows of a matrix.
//
//   y[j] = Σ_i x[i,j]   (+ the old y)
//
// LANES lanes share a column: each adds every LANES-th row in order, then the first adds their sums in order.
// Dispatch: (columns / COLUMNS, rounded up, in a grid folded into two dimensions).

// @import lib/loop.wgsl

override ACCUMULATE: bool;     // y += instead of y =
const COLUMNS: u32 = 16u;      // @spec  columns per workgroup
const LANES: u32 = 16u;        // @spec  lanes per column
alias StoredX = f32;           // @spec  x in memory: f16 in mixed precision
alias StoredY = f32;           // @spec  y likewise

@group(0) @binding(0) var<storage, read> x: array<StoredX>;        // [rows, columns]
@group(0) @binding(1) var<storage, read_write> y: array<StoredY>;  // [columns]
struct Params { rows: i32, columns: u32 }
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, LANES * COLUMNS>;

@compute @workgroup_size(COLUMNS, LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_id) id: vec3u,
) {
  let column = (workgroup.y * workgroups.x + workgroup.x) * COLUMNS + id.x;
  let inside = column < params.columns;
  let from_column = min(column, params.columns - 1u);
  var sum = 0.0;
  for (var row = 0; row < FOREVER; row += i32(LANES)) {
    if (row + i32(id.y) >= params.rows) { break; }
    sum += f32(x[(u32(row) + id.y) * params.columns + from_column]);
  }
  if (LANES > 1u) {
    sums[id.y * COLUMNS + id.x] = sum;
    workgroupBarrier();
    for (var lane = 1u; lane < LANES; lane++) { sum += sums[lane * COLUMNS + id.x]; }
  }
  if (id.y == 0u && inside) {
    if (ACCUMULATE) { sum += f32(y[column]); }
    y[column] = StoredY(sum);
  }
}
