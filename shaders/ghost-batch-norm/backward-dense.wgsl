// ghost-batch-norm/backward-dense: every gradient in one pass, for layers without pixels (HW = 1).
//
//   dx = gamma · r · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)        sums over the sample's own ghost, M its samples
//   sums[g,c] = (Σdy', Σdy'x̂, Σdx)                       whose sums over the ghosts are dbeta, dgamma, and the gradient of a
//                                                        bias that the previous layer added
//
// with dy' = dy where the fused relu passed y on, else dy.
// A lane owns four channels and ROWS lanes share the samples of a ghost, as in forward-dense.
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (ceil(C / (4 · COLUMNS)), G, 1).

override C: u32;             // channels, a multiple of 4
override RELU: bool;
override ACCUMULATE: bool;   // dx += instead of dx =
override COLUMNS: u32 = 8u;  // lanes side by side
override ROWS: u32 = 32u;    // lanes that share the samples of a ghost, a power of two
override QUADS: u32 = C / 4u;
alias Stored = vec4f;        // @spec  an Element in memory: f16 in mixed precision

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 reads
  first_channel: u32,   // column of `statistics` that channel 0 reads
  total_channels: u32,  // columns of `statistics`
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;            // [N, C]
@group(0) @binding(1) var<storage, read> dy: array<Stored>;           // [N, C]
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;    // [rows, total_channels] of (mean, variance)
@group(0) @binding(3) var<storage, read> gamma: array<Element>;       // [C]
@group(0) @binding(4) var<storage, read> beta: array<Element>;        // [C]
@group(0) @binding(5) var<storage, read_write> sums: array<Element>;  // [G, 3, C]: Σ dy', Σ dy'·x̂, Σ dx
@group(0) @binding(6) var<storage, read_write> dx: array<Stored>;     // [N, C]
@group(0) @binding(7) var<uniform> params: Params;

alias Element = vec4f;
const ROW: u32 = 4u;          // samples that a lane handles per iteration of the loop
// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl
// @import lib/rows-sum.wgsl

// What the samples of a ghost have in common: dx = scale · dy' + constant + slope · (x − mean).
struct Group {
  mean: Element,
  scale: Element,
  shift: Element,
  constant: Element,
  slope: Element,
}

@compute @workgroup_size(COLUMNS, ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) lane: vec3u) {
  let own = group.x * COLUMNS + lane.x;
  let writes = own < QUADS;
  let q = min(own, QUADS - 1u);  // lanes past the last channel compute too but write nothing
  let g = group.y;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let origin = part.first * QUADS + q;
  let column = (params.first_ghost + g) * params.total_channels + params.first_channel + 4u * q;
  let s = array<vec2f, 4>(statistics[column], statistics[column + 1u], statistics[column + 2u], statistics[column + 3u]);
  let r = inverse_deviation(vec4f(s[0].y, s[1].y, s[2].y, s[3].y), params.eps);
  var terms = Group(vec4f(s[0].x, s[1].x, s[2].x, s[3].x), gamma[q] * r, beta[q], Element(), Element());

  var found = Rows(Element(), Element());
  let iterations = part.samples / (ROWS * ROW);
  for (var iteration = 0u; iteration < iterations; iteration++) {
    for (var j = 0u; j < ROW; j++) {
      found = add(found, origin + ((iteration * ROW + j) * ROWS + lane.y) * QUADS, terms);
    }
  }
  for (var n = iterations * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
    found = add(found, origin + n * QUADS, terms);
  }
  found.b *= r;
  let total = rows_sum(found, lane);
  terms.constant = -terms.scale * total.a / f32(part.samples);
  terms.slope = -terms.scale * r * total.b / f32(part.samples);

  var written = Element();
  if (writes) {
    for (var iteration = 0u; iteration < iterations; iteration++) {
      for (var j = 0u; j < ROW; j++) {
        written += write(origin + ((iteration * ROW + j) * ROWS + lane.y) * QUADS, terms);
      }
    }
    for (var n = iterations * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
      written += write(origin + n * QUADS, terms);
    }
  }
  let all = rows_sum(Rows(written, Element()), lane);
  if (writes && lane.y == 0u) {
    sums[3u * g * QUADS + q] = total.a;
    sums[(3u * g + 1u) * QUADS + q] = total.b;
    sums[(3u * g + 2u) * QUADS + q] = all.a;
  }
}

fn gradient(i: u32, value: Element, terms: Group) -> Element {
  if (RELU) { return through_relu(Element(dy[i]), affine(value, terms.mean, terms.scale, terms.shift)); }
  return Element(dy[i]);
}

fn add(found: Rows, i: u32, terms: Group) -> Rows {
  let value = Element(x[i]);
  let incoming = gradient(i, value, terms);
  return Rows(found.a + incoming, fma(incoming, value - terms.mean, found.b));
}

fn write(i: u32, terms: Group) -> Element {
  let value = Element(x[i]);
  let result = fma(terms.scale, gradient(i, value, terms), fma(terms.slope, value - terms.mean, terms.constant));
  if (ACCUMULATE) { dx[i] = Stored(Element(dx[i]) + result); } else { dx[i] = Stored(result); }
  return result;
}
