// conv2d/sum-partials-narrow: adds up the partial sums of the weight gradient, in order, for adapters of 8-lane subgroups.
//
//   dweight[i] = Σ_j partials[j, i]        (+ dweight[i] if ACCUMULATE)
//
// One invocation per element: these adapters have few invocations at a time, and barriers are what costs them most.
// Dispatch: (ceil(elements / LANES), 1, 1).

override ACCUMULATE: bool = false;
override LANES: u32 = 64u;

@group(0) @binding(0) var<storage, read> partials: array<f32>;       // [splits, elements]
@group(0) @binding(1) var<storage, read_write> dweight: array<f32>;  // [elements]
struct Params { elements: u32, splits: u32 }
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let element = id.x;
  if (element >= params.elements) { return; }
  var sum = 0.0;
  for (var split = 0u; split < params.splits; split++) { sum += partials[split * params.elements + element]; }
  if (ACCUMULATE) { sum += dweight[element]; }
  dweight[element] = sum;
}
