// ghost-batch-norm/backward-add-narrow: backward-narrow.wgsl for a layer that adds a residual before its relu.
//
//   dx = gamma · r · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)        sums over the sample's own ghost, M its number of values
//   dresidual = dy'
//   sums[g,c] = (Σdy', Σdy'x̂)                            whose sums over the ghosts are dbeta and dgamma
//
// with dy' = dy where y > 0 if there was a relu, else dy; the relu's sign is read from y, since x alone does not tell it.
// One subgroup goes through a channel of a ghost twice, first for the sums, then for dx: the second time finds it in a cache.
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (C, G, 1).
enable subgroups;

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override RELU: bool;
override ACCUMULATE: bool;          // dx += instead of dx =
override ACCUMULATE_RESIDUAL: bool;  // dresidual += instead of dresidual =
alias Element = vec4f;              // @spec  f32 where HW is no multiple of 4
alias Stored = vec4f;               // @spec  an Element in memory: f16 in mixed precision
const WIDTH: u32 = 4u;              // @spec  values in an Element
override PIXELS: u32 = HW / WIDTH;  // Elements in one channel of one sample
const LANES: u32 = 8u;
const ROW: u32 = 4u;                // Elements of a lane in one trip of the loop

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,         // G
  total: u32,          // N: the last ghost runs to here
  first_ghost: u32,     // row of `statistics` that ghost 0 reads
  first_channel: u32,   // column of `statistics` that channel 0 reads
  total_channels: u32,  // columns of `statistics`
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;                // [N, C, HW]
@group(0) @binding(1) var<storage, read> dy: array<Stored>;               // [N, C, HW]
@group(0) @binding(2) var<storage, read> y: array<Stored>;                // [N, C, HW]
@group(0) @binding(3) var<storage, read> statistics: array<vec2f>;        // [rows, total_channels] of (mean, variance)
@group(0) @binding(4) var<storage, read> gamma: array<f32>;               // [C]
@group(0) @binding(5) var<storage, read_write> sums: array<vec2f>;        // [G, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(6) var<storage, read_write> dx: array<Stored>;         // [N, C, HW]
@group(0) @binding(7) var<storage, read_write> dresidual: array<Stored>;  // [N, C, HW]
@group(0) @binding(8) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl

// What a group's Elements share: dx = scale · dy' + constant + slope · (x − mean).
struct Group {
  mean: Element,
  scale: Element,
  constant: Element,
  slope: Element,
}

struct Sums {
  gradients: Element,  // Σ dy'
  products: Element,   // Σ dy'·(x − mean)
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let c = group.x;
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let count = part.samples * PIXELS;
  let statistic = statistics[(params.first_ghost + g) * params.total_channels + params.first_channel + c];
  let r = inverse_deviation(Element(statistic.y), params.eps);
  let scale = gamma[c] * r;
  var terms = Group(Element(statistic.x), scale, Element(), Element());

  var total = Sums();
  let trips = count / (LANES * ROW);
  for (var trip = 0u; trip < trips; trip++) {
    var some = Sums();
    for (var j = 0u; j < ROW; j++) {
      some = add(some, origin + offset((trip * ROW + j) * LANES + lane), terms);
    }
    total = Sums(total.gradients + some.gradients, total.products + some.products);
  }
  for (var i = trips * LANES * ROW + lane; i < count; i += LANES) {
    total = add(total, origin + offset(i), terms);
  }
  // Of a scalar Element, vec4() makes four copies: each counts a quarter.
  let weights = vec4f(f32(WIDTH) / 4.0);
  let gradients = subgroupAdd(dot(vec4f(total.gradients), weights));
  let products = subgroupAdd(dot(vec4f(r * total.products), weights));
  if (lane == 0u) { sums[g * C + c] = vec2f(gradients, products); }

  let share = vec2f(gradients, products) / f32(count * WIDTH);
  terms.constant = -scale * share.x;
  terms.slope = -scale * r * share.y;
  for (var trip = 0u; trip < trips; trip++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin + offset((trip * ROW + j) * LANES + lane), terms);
    }
  }
  for (var i = trips * LANES * ROW + lane; i < count; i += LANES) {
    write(origin + offset(i), terms);
  }
}

fn add(sums: Sums, at: u32, terms: Group) -> Sums {
  let value = Element(x[at]);
  let gradient = passed(at);
  return Sums(sums.gradients + gradient, fma(gradient, value - terms.mean, sums.products));
}

// dy'
fn passed(at: u32) -> Element {
  let gradient = Element(dy[at]);
  if (RELU) { return through_relu(gradient, Element(y[at])); }
  return gradient;
}

fn write(i: u32, terms: Group) {
  let gradient = passed(i);
  if (ACCUMULATE_RESIDUAL) { dresidual[i] = Stored(Element(dresidual[i]) + gradient); } else { dresidual[i] = Stored(gradient); }
  let result = fma(terms.scale, gradient, fma(terms.slope, Element(x[i]) - terms.mean, terms.constant));
  if (ACCUMULATE) { dx[i] = Stored(Element(dx[i]) + result); } else { dx[i] = Stored(result); }
}

// Where the i-th Element of a channel of a ghost stands, from the first one.
fn offset(i: u32) -> u32 {
  return (i / PIXELS) * C * PIXELS + i % PIXELS;
}
