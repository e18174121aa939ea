// reduce/sum-segments: sums over the rows of many matrices in one dispatch.
//
//   y[writes_to_s + j] = Σ_i x[reads_from_s + i · row_s + j · column_s]   (+ the old y)      for every segment s, j < columns_s
//
// A workgroup finds its segment by binary search. LANES lanes share a column: each adds every LANES-th row in order, then the first
// adds their sums in order.
// Dispatch: (Σ_s ceil(columns_s / COLUMNS), in a grid folded into two dimensions).

const COLUMNS: u32 = 16u;      // @spec  columns per workgroup
const LANES: u32 = 16u;        // @spec  lanes per column

struct Segment {
  first: u32,       // its first workgroup
  reads_from: u32,  // where its first row begins in x
  rows: i32,
  columns: u32,
  row: u32,         // distance between rows
  column: u32,      // distance between columns
  writes_to: u32,   // where its sums begin in y
  accumulate: u32,  // 1: y += instead of y =
}

struct Params { segments: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/loop.wgsl

var<workgroup> sums: array<f32, LANES * COLUMNS>;

@compute @workgroup_size(COLUMNS, LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let workgroup = group.y * groups.x + group.x;
  let segment = segments[segment_of(workgroup)];
  let own = (workgroup - segment.first) * COLUMNS + lane.x;
  let inside = own < segment.columns;
  let column = min(own, segment.columns - 1u);
  let from_column = segment.reads_from + column * segment.column;
  var sum = 0.0;
  for (var row = 0; row < FOREVER; row += i32(LANES)) {
    if (row + i32(lane.y) >= segment.rows) { break; }
    sum += x[from_column + (u32(row) + lane.y) * segment.row];
  }
  if (LANES > 1u) {
    sums[lane.y * COLUMNS + lane.x] = sum;
    workgroupBarrier();
    for (var other = 1u; other < LANES; other++) { sum += sums[other * COLUMNS + lane.x]; }
  }
  if (lane.y == 0u && inside) {
    if (segment.accumulate != 0u) { sum += y[segment.writes_to + column]; }
    y[segment.writes_to + column] = sum;
  }
}

// The last segment that begins at or before a workgroup.
fn segment_of(workgroup: u32) -> u32 {
  var low = 0u;
  var high = params.segments;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (segments[middle].first <= workgroup) { low = middle; } else { high = middle; }
  }
  return low;
}
