// ghost-batch-norm/normalize-dense: normalize.wgsl for layers without pixels (HW = 1): neighbouring lanes take neighbouring channels.
//
//   y[n,c] = gamma · (x − mean) / √(variance + eps) + beta   [then relu]
//
// Mean and variance as in normalize.wgsl: those of the sample's ghost, or the running ones of the whole layer.
// Source:   Hoffer et al. 2017, Algorithm 1.
// Dispatch: (ceil(C / (4 · COLUMNS)), G, parts): the samples of a ghost are shared by `parts` workgroups.

override C: u32;             // channels, a multiple of 4
override RELU: bool;
override COLUMNS: u32 = 8u;  // lanes side by side
override ROWS: u32 = 8u;     // lanes that share the samples
override QUADS: u32 = C / 4u;
alias Stored = vec4f;        // @spec  an Element in memory: f16 in mixed precision

struct Params {
  ghost_size: u32,       // samples in a ghost
  ghosts: u32,           // G
  total: u32,            // N: where the last ghost ends
  first_ghost: u32,      // row of the statistics that ghost 0 reads
  first_channel: u32,    // column of the statistics that channel 0 reads
  total_channels: u32,   // columns of the statistics
  stride: u32,           // 2 for (mean, variance) pairs, 1 for separate arrays
  variance_offset: u32,  // 1 for pairs, 0 for separate arrays
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;        // [N, C]
@group(0) @binding(1) var<storage, read> mean: array<f32>;        // [rows, total_channels, stride]
@group(0) @binding(2) var<storage, read> variance: array<f32>;    // [rows, total_channels, stride]
@group(0) @binding(3) var<storage, read> gamma: array<Element>;   // [C]
@group(0) @binding(4) var<storage, read> beta: array<Element>;    // [C]
@group(0) @binding(5) var<storage, read_write> y: array<Stored>;  // [N, C]
@group(0) @binding(6) var<uniform> params: Params;

alias Element = vec4f;
const ROW: u32 = 4u;          // samples that a lane handles per iteration of the loop
// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl

@compute @workgroup_size(COLUMNS, ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let q = group.x * COLUMNS + lane.x;
  if (q >= QUADS) { return; }
  let part = ghost(group.y, params.ghost_size, params.ghosts, params.total);
  let origin = part.first * QUADS + q;
  let at = ((params.first_ghost + group.y) * params.total_channels + params.first_channel + 4u * q) * params.stride;
  let mu = gathered_mean(at, params.stride);
  let scale = gamma[q] * inverse_deviation(gathered_variance(at + params.variance_offset, params.stride), params.eps);
  let shift = beta[q];

  let iterations = part.samples / (ROWS * ROW);
  let share = (iterations + grid.z - 1u) / grid.z;
  for (var iteration = group.z * share; iteration < min(iterations, (group.z + 1u) * share); iteration++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin + ((iteration * ROW + j) * ROWS + lane.y) * QUADS, mu, scale, shift);
    }
  }
  if (group.z + 1u == grid.z) {
    for (var n = iterations * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
      write(origin + n * QUADS, mu, scale, shift);
    }
  }
}

fn gathered_mean(at: u32, stride: u32) -> Element {
  return vec4f(mean[at], mean[at + stride], mean[at + 2u * stride], mean[at + 3u * stride]);
}

fn gathered_variance(at: u32, stride: u32) -> Element {
  return vec4f(variance[at], variance[at + stride], variance[at + 2u * stride], variance[at + 3u * stride]);
}

fn write(i: u32, mu: Element, scale: Element, shift: Element) {
  let value = affine(Element(x[i]), mu, scale, shift);
  y[i] = Stored(select(value, rectified(value), RELU));
}
