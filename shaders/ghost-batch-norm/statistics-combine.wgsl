// ghost-batch-norm/statistics-combine: statistics of groups that `statistics` cut into splits.
//
//   mean = shift + Σ Σd / M      variance = Σ Σd² / M − (Σ Σd / M)²      Σ over the splits in order, d = x − shift
//
// with shift the group's first value and M its number of values, as statistics.wgsl has them.
// Source:   Hoffer et al. 2017, Algorithm 1.
// Dispatch: one lane per group: (ceil(G · C / WG_SIZE), 1, 1).

override C: u32;        // channels
override HW: u32;       // values in one channel of one sample
override SPLITS: u32;   // pairs of `partials` in a group
override WG_SIZE: u32 = 64u;

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,         // G
  total: u32,          // N: the last ghost runs to here
  first_ghost: u32,     // row of `statistics` that ghost 0 writes
  first_channel: u32,   // column of `statistics` that channel 0 writes
  total_channels: u32,  // columns of `statistics`
}

@group(0) @binding(0) var<storage, read> x: array<f32>;                       // [N, C, HW]
@group(0) @binding(1) var<storage, read> partials: array<vec2f>;          // [G, C, SPLITS] of (Σd, Σd²)
@group(0) @binding(2) var<storage, read_write> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(3) var<uniform> params: Params;

alias Element = f32;
// @import lib/ghost-batch-norm.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.ghosts * C) { return; }
  let g = id.x / C;
  let c = id.x % C;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  var sums = vec2f();
  for (var split = 0u; split < SPLITS; split++) {
    sums += partials[id.x * SPLITS + split];
  }
  let moments = sums / f32(part.samples * HW);
  let row = (params.first_ghost + g) * params.total_channels + params.first_channel;
  statistics[row + c] = vec2f(x[(part.first * C + c) * HW] + moments.x, variance_of(moments));
}
