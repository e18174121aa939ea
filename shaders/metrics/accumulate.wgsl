// metrics/accumulate: sums the rows of a batch into one row of the log.
//
//   log[row] = (loss, top-1 hits, top-5 hits, samples, …)      row = step mod ROWS
//
// Fields 4 to 7 of the row belong to clip/coefficient. ACCUMULATE adds to the row instead, for the slabs after a
// batch's first and for the batches of an evaluation. The order is fixed: lane l sums rows l, l + WG_SIZE, …, then lane 0 adds up
// the lanes.
// Dispatch: (1, 1, 1).

override N: u32;               // rows of this batch
override ROWS: u32;            // rows of the log
override ACCUMULATE: bool;
override WG_SIZE: u32 = 64u;

struct Params { count: u32 }   // N as a uniform, so that the loop over it is not unrolled

@group(0) @binding(0) var<storage, read> rows: array<vec4f>;            // [N, 4]
@group(0) @binding(1) var<storage, read_write> log_rows: array<vec4f>;  // [ROWS, 8]
@group(0) @binding(2) var<uniform> step: Step;
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/step.wgsl

var<workgroup> partial: array<vec4f, WG_SIZE>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  var sum = vec4f();
  for (var n = lane; n < params.count; n += WG_SIZE) { sum += rows[n]; }
  partial[lane] = sum;
  workgroupBarrier();
  if (lane != 0u) { return; }
  var total = vec4f();
  for (var l = 0u; l < WG_SIZE; l++) { total += partial[l]; }
  total.w = f32(N);
  let row = 2u * (step.step % ROWS);
  if (ACCUMULATE) { total += log_rows[row]; }
  log_rows[row] = total;
}
