// ghost-batch-norm/grad-input: gradient of the input.
//
//   dx = gamma · r · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)        sums over the sample's own ghost, M its number of values
//
// with dy' = dy where the fused relu passed y on (recomputed from x with forward's own arithmetic), else dy. The sums come
// from grad-statistics, in SPLITS parts per group, or from the convolution that computed dy, in TILES parts per sample; dy is then dy'.
// The gradients of gamma and beta are sums over the rows of `sums` (reduce/sum-segments.wgsl).
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (C, G, parts): a channel of a ghost is shared by `parts` workgroups.

override C: u32;                    // channels
override HW: u32;                   // values in one channel of one sample
override RELU: bool;
override ACCUMULATE: bool;          // dx += instead of dx =
override SPLITS: u32 = 1u;          // pairs of `sums` in a group
override TILES: u32 = 0u;           // pairs of `sums` in a sample; 0 if they belong to groups
override WG_SIZE: u32 = 64u;        // lanes, a power of two
override ROW: u32 = 4u;             // Elements that a lane handles per iteration of the loop
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
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(3) var<storage, read> gamma: array<f32>;         // [C]
@group(0) @binding(4) var<storage, read> beta: array<f32>;          // [C]
@group(0) @binding(5) var<storage, read> sums: array<vec2f>;        // [G, SPLITS, C] or [N, TILES, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(6) var<storage, read_write> dx: array<Stored>;   // [N, C, HW]
@group(0) @binding(7) var<uniform> params: Params;

// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl
// @import lib/workgroup-sum-pair.wgsl

// What the Elements of a group have in common: dx = scale · dy' + constant + slope · (x − mean).
struct Group {
  mean: Element,
  scale: Element,
  constant: Element,
  slope: Element,
  shift: Element,
}

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let c = group.x;
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = (part.first * C + c) * PIXELS;
  let count = part.samples * PIXELS;

  let statistic = statistics[(params.first_ghost + g) * params.total_channels + params.first_channel + c];
  let r = inverse_deviation(Element(statistic.y), params.eps);
  let scale = gamma[c] * r;
  let share = group_sums(part, g, c, lane) / f32(count * WIDTH);
  let terms = Group(Element(statistic.x), scale, -scale * share.x, -scale * r * share.y, Element(beta[c]));

  let iterations = count / (WG_SIZE * ROW);
  let stretch = (iterations + grid.z - 1u) / grid.z;
  for (var iteration = group.z * stretch; iteration < min(iterations, (group.z + 1u) * stretch); iteration++) {
    for (var j = 0u; j < ROW; j++) {
      write(origin, (iteration * ROW + j) * WG_SIZE + lane, terms);
    }
  }
  if (group.z + 1u == grid.z) {
    for (var i = iterations * WG_SIZE * ROW + lane; i < count; i += WG_SIZE) {
      write(origin, i, terms);
    }
  }
}

// Both sums of a group, returned to every lane.
fn group_sums(part: Ghost, g: u32, c: u32, lane: u32) -> vec2f {
  if (TILES > 0u) {
    var own = vec2f();
    for (var row = lane; row < part.samples * TILES; row += WG_SIZE) {
      own += sums[(part.first * TILES + row) * C + c];
    }
    return workgroup_sum_pair(own, lane);
  }
  var total = sums[g * SPLITS * C + c];
  for (var split = 1u; split < SPLITS; split++) {
    total += sums[(g * SPLITS + split) * C + c];
  }
  return total;
}

// Writes the i-th Element of a channel of a ghost, whose first one is at `origin`.
fn write(origin: u32, i: u32, terms: Group) {
  let at = origin + i / PIXELS * C * PIXELS + i % PIXELS;
  let value = Element(x[at]);
  var gradient = Element(dy[at]);
  if (RELU) { gradient = through_relu(gradient, affine(value, terms.mean, terms.scale, terms.shift)); }
  let result = fma(terms.scale, gradient, fma(terms.slope, value - terms.mean, terms.constant));
  if (ACCUMULATE) { dx[at] = Stored(Element(dx[at]) + result); } else { dx[at] = Stored(result); }
}
