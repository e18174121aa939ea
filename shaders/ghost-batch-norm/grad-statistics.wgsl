// ghost-batch-norm/grad-statistics: the two sums over a ghost that the gradients need.
//
//   sums[g,c] = (Σ dy', Σ dy'·x̂)      over n ∈ ghost g, p ∈ [0, HW);   x̂ = (x − mean) / √(variance + eps)
//
// dy' is dy where the fused relu passed y on, else 0. GATE says how to tell: 0, there was no relu; 1, the sign is
// recomputed from x with forward's own arithmetic, which costs no read of y; 2, it is read from y (there was a residual).
// A group too large for one workgroup is cut into SPLITS parts. Each writes its own sums, and grad-input adds them up.
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (C, G, SPLITS).

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override GATE: u32;
override SPLITS: u32 = 1u;          // workgroups that share a group
override WG_SIZE: u32 = 256u;       // lanes in a workgroup, a power of two
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample

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
@group(0) @binding(2) var<storage, read> y: array<Stored>;          // [N, C, HW], read where GATE is 2
@group(0) @binding(3) var<storage, read> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(4) var<storage, read> gamma: array<f32>;         // [C]
@group(0) @binding(5) var<storage, read> beta: array<f32>;          // [C]
@group(0) @binding(6) var<storage, read_write> sums: array<vec2f>;  // [G, SPLITS, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/ghost-batch-norm-gradient-sums.wgsl
// @import lib/relu.wgsl
// @import lib/workgroup-sum-pair.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let c = group.x;
  let statistic = statistics[(params.first_ghost + group.y) * params.total_channels + params.first_channel + c];
  let r = inverse_deviation(Element(statistic.y), params.eps);
  write_sums(group, local.x, r, Group(Element(statistic.x), gamma[c] * r, Element(beta[c])));
}

// Adds the i-th Element of a channel of a ghost, whose first one is at `origin`.
fn add(sums: Sums, origin: u32, i: u32, terms: Group) -> Sums {
  let at = origin + i / PIXELS * C * PIXELS + i % PIXELS;
  let value = Element(x[at]);
  var gradient = Element(dy[at]);
  if (GATE == 1u) { gradient = through_relu(gradient, affine(value, terms.mean, terms.scale, terms.shift)); }
  if (GATE == 2u) { gradient = through_relu(gradient, Element(y[at])); }
  return Sums(sums.gradients + gradient, fma(gradient, value - terms.mean, sums.products));
}
