// shards/metrics: adds up the metrics of a batch's shards, in order, into the step's row of the log.
//
//   log[row] = Σ_p (loss, top-1 hits, top-5 hits, samples) of shard p, …      row = step mod ROWS
//
// Fields 4 to 7 of the row belong to clip/coefficient, as in metrics/accumulate.
// Dispatch: (1, 1, 1), one lane: there are few shards.

override ROWS: u32;            // rows of the log

struct Params { count: u32 }   // shards

@group(0) @binding(0) var<storage, read> shards: array<vec4f>;          // [count, 64]: metrics in the first 4 of each row
@group(0) @binding(1) var<storage, read_write> log_rows: array<vec4f>;  // [ROWS, 8]
@group(0) @binding(2) var<uniform> step: Step;
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/step.wgsl

@compute @workgroup_size(1)
fn main() {
  var total = vec4f();
  for (var p = 0u; p < params.count; p++) { total += shards[16u * p]; }
  log_rows[2u * (step.step % ROWS)] = total;
}
