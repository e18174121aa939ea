// ghost-batch-norm/statistics-combine: statistics of groups that statistics.wgsl cut into splits.
//
//   mean = 1/M · Σ_s n_s · mean_s      variance = 1/M · Σ_s (squares_s + n_s · (mean_s − mean)²)      over the splits s in order
//
// Split s has n_s values; M is their sum. The first sum is taken of distances from the first split's mean, which are small when |mean| ≫ σ.
// Source:   Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", equation 2.1.
// Dispatch: one lane per group: (ceil(G · C / WG_SIZE), 1, 1).

override C: u32;        // channels
override HW: u32;       // values in one channel of one sample
override SPLITS: u32;   // pairs of `partials` in a group
override WIDTH: u32;    // values in an Element of statistics.wgsl
override WG_SIZE: u32 = 64u;

struct Params {
  ghost_size: u32,      // samples in a ghost
  ghosts: u32,          // G
  total: u32,           // N: where the last ghost ends
  first_ghost: u32,     // row of `statistics` that ghost 0 writes
  first_channel: u32,   // column of `statistics` that channel 0 writes
  total_channels: u32,  // columns of `statistics`
}

@group(0) @binding(0) var<storage, read> partials: array<vec2f>;          // [G, C, SPLITS] of (mean, Σ (x − mean)²)
@group(0) @binding(1) var<storage, read_write> statistics: array<vec2f>;  // [rows, total_channels] of (mean, variance)
@group(0) @binding(2) var<uniform> params: Params;

alias Element = f32;
// @import lib/ghost-batch-norm.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.ghosts * C) { return; }
  let g = id.x / C;
  let c = id.x % C;
  let part = ghost(g, params.ghost_size, params.ghosts, params.total);
  let count = part.samples * HW;
  let share = (count / WIDTH + SPLITS - 1u) / SPLITS * WIDTH;
  let base = partials[id.x * SPLITS].x;
  var sum = 0.0;
  for (var split = 0u; split < SPLITS; split++) {
    sum = fma(partials[id.x * SPLITS + split].x - base, values_of(split, share, count), sum);
  }
  let mean = base + sum / f32(count);
  var squares = 0.0;
  for (var split = 0u; split < SPLITS; split++) {
    let moments = partials[id.x * SPLITS + split];
    let d = moments.x - mean;
    squares += fma(d * d, values_of(split, share, count), moments.y);
  }
  let row = (params.first_ghost + g) * params.total_channels + params.first_channel;
  statistics[row + c] = vec2f(mean, squares / f32(count));
}

fn values_of(split: u32, share: u32, count: u32) -> f32 {
  let start = min(count, split * share);
  return f32(min(count, start + share) - start);
}
