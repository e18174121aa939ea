// conv2d/sum-partials: adds up the partial sums of the weight gradient, in order.
//
//   dweight[i] = Σ_j partials[j, i]        (+ dweight[i] if ACCUMULATE)
//
// ROWS invocations share one element: each adds every ROWS-th split in order, then the first adds the ROWS sums in order.
// Dispatch: (ceil(elements / COLUMNS), 1, 1).

override ACCUMULATE: bool = false;
const COLUMNS: u32 = 32u;  // @spec  elements of a workgroup
const ROWS: u32 = 8u;      // @spec  invocations of one element

@group(0) @binding(0) var<storage, read> partials: array<f32>;       // [splits, elements]
@group(0) @binding(1) var<storage, read_write> dweight: array<f32>;  // [elements]
struct Params { elements: u32, splits: u32 }
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> sums: array<f32, ROWS * COLUMNS>;

@compute @workgroup_size(COLUMNS, ROWS)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let element = wg.x * COLUMNS + id.x;
  var sum = 0.0;
  if (element < params.elements) {
    for (var split = id.y; split < params.splits; split += ROWS) { sum += partials[split * params.elements + element]; }
  }
  sums[id.y * COLUMNS + id.x] = sum;
  workgroupBarrier();
  if (id.y == 0u && element < params.elements) {
    var total = sum;
    for (var row = 1u; row < ROWS; row++) { total += sums[row * COLUMNS + id.x]; }
    if (ACCUMULATE) { total += dweight[element]; }
    dweight[element] = total;
  }
}
