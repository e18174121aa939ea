// ghost-batch-norm/normalize: normalizes every ghost with its statistics; in the same pass adds a residual and applies relu, if asked.
//
//   y = gamma · (x − mean) / √(variance + eps) + beta   [+ residual]   [then relu]
//
// In training, mean and variance are those of the sample's ghost. In evaluation they are the running ones, and the whole batch is
// one ghost. Both are read as `mean[stride · i]`, so that one kernel serves the pairs of `statistics` (bound twice, stride 2) and
// the two separate arrays of running statistics (stride 1).
// Source:   Hoffer et al. 2017, Algorithm 1.
// Dispatch: (C, G, parts): a channel of a ghost is shared by `parts` workgroups.

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override RELU: bool;
override RESIDUAL: bool;            // without one, any tensor may be bound here: it is not read
override WG_SIZE: u32 = 64u;
override ROW: u32 = 4u;             // Elements that a lane handles per iteration of the loop
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample

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

@group(0) @binding(0) var<storage, read> x: array<Stored>;         // [N, C, HW]
@group(0) @binding(1) var<storage, read> mean: array<f32>;         // [rows, total_channels, stride]
@group(0) @binding(2) var<storage, read> variance: array<f32>;     // [rows, total_channels, stride]
@group(0) @binding(3) var<storage, read> gamma: array<f32>;        // [C]
@group(0) @binding(4) var<storage, read> beta: array<f32>;         // [C]
@group(0) @binding(5) var<storage, read> residual: array<Stored>;  // [N, C, HW]
@group(0) @binding(6) var<storage, read_write> y: array<Stored>;   // [N, C, HW]
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/ghost-batch-norm-offset.wgsl
// @import lib/relu.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let c = group.x;
  let part = ghost(group.y, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let at = ((params.first_ghost + group.y) * params.total_channels + params.first_channel + c) * params.stride;
  let mu = Element(mean[at]);
  let scale = gamma[c] * inverse_deviation(Element(variance[at + params.variance_offset]), params.eps);
  let shift = Element(beta[c]);

  let count = part.samples * PIXELS;
  let iterations = count / (WG_SIZE * ROW);
  let share = (iterations + grid.z - 1u) / grid.z;
  for (var iteration = group.z * share; iteration < min(iterations, (group.z + 1u) * share); iteration++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin + offset((iteration * ROW + j) * WG_SIZE + lane), mu, scale, shift);
    }
  }
  if (group.z + 1u == grid.z) {
    for (var i = iterations * WG_SIZE * ROW + lane; i < count; i += WG_SIZE) {
      write(origin + offset(i), mu, scale, shift);
    }
  }
}

fn write(i: u32, mu: Element, scale: Element, shift: Element) {
  var value = affine(Element(x[i]), mu, scale, shift);
  if (RESIDUAL) { value += Element(residual[i]); }
  if (RELU) { value = rectified(value); }
  y[i] = Stored(value);
}
