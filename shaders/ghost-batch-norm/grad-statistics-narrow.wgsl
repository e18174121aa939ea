// ghost-batch-norm/grad-statistics-narrow: grad-statistics.wgsl for adapters whose subgroups have 8 lanes (software).
//
//   sums[g,c] = (Σ dy', Σ dy'·x̂)      over n ∈ ghost g, p ∈ [0, HW);   x̂ = (x − mean) / √(variance + eps)
//
// dy' is dy where the fused relu passed y on, else 0. GATE says how to tell: 0, there was no relu; 1, the sign is
// recomputed from x with forward's own arithmetic; 2, it is read from y (there was a residual).
// A workgroup is one subgroup, and each iteration makes ROW loads; see statistics-narrow.
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (C, G, 1).
enable subgroups;

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override GATE: u32;
alias Element = vec4f;              // @spec  f32 where HW is not a multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample
const LANES: u32 = 8u;
const ROW: u32 = 4u;                // Elements that a lane handles per iteration of the loop

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
@group(0) @binding(6) var<storage, read_write> sums: array<vec2f>;  // [G, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/ghost-batch-norm-offset.wgsl
// @import lib/relu.wgsl

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let c = group.x;
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let count = part.samples * PIXELS;
  let row = (params.first_ghost + g) * params.total_channels + params.first_channel;
  let mean = Element(statistics[row + c].x);
  let r = inverse_deviation(Element(statistics[row + c].y), params.eps);
  let scale = gamma[c] * r;
  let shift = Element(beta[c]);

  var total = Sums();
  let iterations = count / (LANES * ROW);
  for (var iteration = 0u; iteration < iterations; iteration++) {
    var some = Sums();
    for (var j = 0u; j < ROW; j++) {
      some = add(some, origin + offset((iteration * ROW + j) * LANES + lane), mean, scale, shift);
    }
    total = Sums(total.gradients + some.gradients, total.products + some.products);
  }
  for (var i = iterations * LANES * ROW + lane; i < count; i += LANES) {
    total = add(total, origin + offset(i), mean, scale, shift);
  }
  // vec4() of a scalar Element makes four copies, so each counts a quarter.
  let weights = vec4f(f32(WIDTH) / 4.0);
  let gradients = subgroupAdd(dot(vec4f(total.gradients), weights));
  let products = subgroupAdd(dot(vec4f(r * total.products), weights));
  if (lane == 0u) { sums[g * C + c] = vec2f(gradients, products); }
}

struct Sums {
  gradients: Element,  // Σ dy'
  products: Element,   // Σ dy'·(x − mean)
}

fn add(sums: Sums, at: u32, mean: Element, scale: Element, shift: Element) -> Sums {
  let value = Element(x[at]);
  var gradient = Element(dy[at]);
  if (GATE == 1u) { gradient = through_relu(gradient, affine(value, mean, scale, shift)); }
  if (GATE == 2u) { gradient = through_relu(gradient, Element(y[at])); }
  return Sums(sums.gradients + gradient, fma(gradient, value - mean, sums.products));
}
