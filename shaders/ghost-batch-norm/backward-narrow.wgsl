// ghost-batch-norm/backward-narrow: every gradient in one pass, for adapters whose subgroups have 8 lanes (software).
//
//   dx = gamma · r · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)        sums over the sample's own ghost, M its number of values
//   sums[g,c] = (Σdy', Σdy'x̂)                            whose sums over the ghosts are dbeta and dgamma
//
// with dy' = dy where the fused relu passed y on (recomputed from x with forward's own arithmetic), else dy.
// One subgroup reads each channel of a ghost twice: lib/ghost-batch-norm-twice.
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (C, G, 1).
enable subgroups;

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override RELU: bool;
override ACCUMULATE: bool;          // dx += instead of dx =
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample
const LANES: u32 = 8u;

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 reads
  first_channel: u32,   // column of `statistics` that channel 0 reads
  total_channels: u32,  // columns of `statistics`
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;          // [N, C, HW]
@group(0) @binding(1) var<storage, read> dy: array<Stored>;         // [N, C, HW]
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(3) var<storage, read> gamma: array<f32>;         // [C]
@group(0) @binding(4) var<storage, read> beta: array<f32>;          // [C]
@group(0) @binding(5) var<storage, read_write> sums: array<vec2f>;  // [G, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(6) var<storage, read_write> dx: array<Stored>;   // [N, C, HW]
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/ghost-batch-norm-offset.wgsl
// @import lib/ghost-batch-norm-twice.wgsl
// @import lib/relu.wgsl

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  read_twice(group.x, group.y, local.x, Element(beta[group.x]));
}

// dy'
fn passed(at: u32, value: Element, terms: Group) -> Element {
  let gradient = Element(dy[at]);
  if (RELU) { return through_relu(gradient, affine(value, terms.mean, terms.scale, terms.shift)); }
  return gradient;
}

fn write(at: u32, terms: Group) {
  let value = Element(x[at]);
  let gradient = passed(at, value, terms);
  let result = fma(terms.scale, gradient, fma(terms.slope, value - terms.mean, terms.constant));
  if (ACCUMULATE) { dx[at] = Stored(Element(dx[at]) + result); } else { dx[at] = Stored(result); }
}
