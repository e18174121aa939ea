// ghost-batch-norm/backward-dense: every gradient in one pass, for layers without pixels (HW = 1).
//
//   dx = gamma · r · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)        sums over the sample's own ghost, M its samples
//   dgamma[c] = Σ_g Σdy'x̂      dbeta[c] = Σ_g Σdy'       dy' = dy where the fused relu let y through, else dy
//
// A lane owns four channels and ROWS lanes share the samples of a ghost, as in forward-dense. A workgroup goes through
// `span` ghosts in order: all of them where that leaves work enough for the device, and then dgamma and dbeta are
// known at its end; else it leaves its ghosts' sums to grad-parameters.
// Source:   Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
// Dispatch: (ceil(C / (4 · COLUMNS)), ceil(G / span), 1).

override C: u32;              // channels, a multiple of 4
override RELU: bool;
override ACCUMULATE: bool;    // dx += instead of dx =
override COLUMNS: u32 = 8u;   // lanes side by side
override ROWS: u32 = 32u;     // lanes that share the samples of a ghost, a power of two
override QUADS: u32 = C / 4u;

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,         // G
  total: u32,          // N: the last ghost runs to here
  first_ghost: u32,     // row of `statistics` that ghost 0 reads
  first_channel: u32,   // column of `statistics` that channel 0 reads
  total_channels: u32,  // columns of `statistics`
  span: u32,           // ghosts of a workgroup
  accumulate: u32,     // 1: dgamma += and dbeta +=, as the slabs of one batch do
  eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Element>;             // [N, C]
@group(0) @binding(1) var<storage, read> dy: array<Element>;            // [N, C]
@group(0) @binding(2) var<storage, read> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(3) var<storage, read> gamma: array<Element>;         // [C]
@group(0) @binding(4) var<storage, read> beta: array<Element>;          // [C]
@group(0) @binding(5) var<storage, read_write> sums: array<vec2f>;  // [G, C] of (Σ dy', Σ dy'·x̂)
@group(0) @binding(6) var<storage, read_write> dx: array<Element>;      // [N, C]
@group(0) @binding(7) var<storage, read_write> dgamma: array<Element>;  // [C]
@group(0) @binding(8) var<storage, read_write> dbeta: array<Element>;   // [C]
@group(0) @binding(9) var<uniform> params: Params;

alias Element = vec4f;
const ROW: u32 = 4u;          // samples of a lane in one trip of the loop
// @import lib/ghost-batch-norm.wgsl
// @import lib/relu.wgsl
// @import lib/rows-sum.wgsl

// What a ghost's samples share: dx = scale · dy' + constant + slope · (x − mean).
struct Group {
  mean: Element,
  scale: Element,
  shift: Element,
  constant: Element,
  slope: Element,
}

@compute @workgroup_size(COLUMNS, ROWS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
) {
  let own = group.x * COLUMNS + lane.x;
  let writes = own < QUADS;
  let q = min(own, QUADS - 1u);  // lanes past the last channel work along and write nothing
  let weight = gamma[q];
  var dbetaTotal = Element();
  var dgammaTotal = Element();

  for (var g = group.y * params.span; g < min(params.ghosts, (group.y + 1u) * params.span); g++) {
    let part = ghost(g, params.ghost_size, params.ghosts, params.total);
    let origin = part.first * QUADS + q;
    let column = (params.first_ghost + g) * params.total_channels + params.first_channel + 4u * q;
    let s = array<vec2f, 4>(statistics[column], statistics[column + 1u], statistics[column + 2u], statistics[column + 3u]);
    let r = inverse_deviation(vec4f(s[0].y, s[1].y, s[2].y, s[3].y), params.eps);
    var terms = Group(vec4f(s[0].x, s[1].x, s[2].x, s[3].x), weight * r, beta[q], Element(), Element());

    var found = Rows(Element(), Element());
    let trips = part.samples / (ROWS * ROW);
    for (var trip = 0u; trip < trips; trip++) {
      for (var j = 0u; j < ROW; j++) {
        found = add(found, origin + ((trip * ROW + j) * ROWS + lane.y) * QUADS, terms);
      }
    }
    for (var n = trips * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
      found = add(found, origin + n * QUADS, terms);
    }
    found.b *= r;
    let total = rows_sum(found, lane);
    dbetaTotal += total.a;
    dgammaTotal += total.b;
    if (writes && lane.y == 0u) {
      for (var j = 0u; j < 4u; j++) {
        sums[g * C + 4u * q + j] = vec2f(total.a[j], total.b[j]);
      }
    }
    terms.constant = -terms.scale * total.a / f32(part.samples);
    terms.slope = -terms.scale * r * total.b / f32(part.samples);
    if (writes) {
      for (var trip = 0u; trip < trips; trip++) {
        for (var j = 0u; j < ROW; j++) {
          write(origin + ((trip * ROW + j) * ROWS + lane.y) * QUADS, terms);
        }
      }
      for (var n = trips * ROW * ROWS + lane.y; n < part.samples; n += ROWS) {
        write(origin + n * QUADS, terms);
      }
    }
  }
  if (grid.y == 1u && writes && lane.y == 0u) {
    if (params.accumulate != 0u) {
      dbetaTotal += dbeta[q];
      dgammaTotal += dgamma[q];
    }
    dbeta[q] = dbetaTotal;
    dgamma[q] = dgammaTotal;
  }
}

fn gradient(i: u32, value: Element, terms: Group) -> Element {
  if (RELU) { return through_relu(dy[i], affine(value, terms.mean, terms.scale, terms.shift)); }
  return dy[i];
}

fn add(found: Rows, i: u32, terms: Group) -> Rows {
  let value = x[i];
  let incoming = gradient(i, value, terms);
  return Rows(found.a + incoming, fma(incoming, value - terms.mean, found.b));
}

fn write(i: u32, terms: Group) {
  let value = x[i];
  let result = fma(terms.scale, gradient(i, value, terms), fma(terms.slope, value - terms.mean, terms.constant));
  if (ACCUMULATE) { dx[i] += result; } else { dx[i] = result; }
}
