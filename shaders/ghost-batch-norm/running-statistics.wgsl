// ghost-batch-norm/running-statistics: the running statistics of every layer after a step, from those of its ghosts.
//
// For each channel, with m_l and v_l the mean and variance of ghost l = 1…K, n_l its number of values, u_l = v_l · n_l / (n_l − 1)
// and a = momentum (all layers of the network are stored side by side, so one dispatch updates all of them):
//   RULE 0  sequential     for l = 1…K:  running ← (1 − a) · running + a · (m_l, u_l)       (`composer` is this with a/K)
//   RULE 1  mean           running ← retained · running + (1 − retained) · mean over l of (m_l, u_l),  retained = (1 − a)^K
//   RULE 2  full           as 1 with the statistics of the whole batch: m = Σ n_l·m_l / n,
//                          v = Σ n_l·(v_l + (m_l − m)²) / n, u = v · n / (n − 1),  n = Σ n_l
//   RULE 3  paper literal  running ← retained · running + Σ_l a · (1 − a)^l · (m_l, σ_l),  retained = (1 − a)^samples of a ghost,
//                          σ_l = √(v_l + eps): as printed in the paper; biased, since the weights do not add up to 1
// With DEVIATION, which rule 3 needs, standard deviations √(u_l + eps) (rule 3: σ_l) are averaged instead of variances, and the
// running variance is the square of their average.
// Source:   Hoffer et al. 2017, Algorithm 1 (rule 3) and the released code (rule 0).
// Dispatch: one lane per channel: (ceil(total_channels / WG_SIZE), 1, 1).

override RULE: u32;
override DEVIATION: bool;
override WG_SIZE: u32 = 64u;

struct Params {
  ghost_size: u32,  // samples in a ghost
  ghosts: u32,      // K
  total: u32,       // samples in the batch: where the last ghost ends
  total_channels: u32,
  momentum: f32,       // a: the weight of the new value
  retained: f32,       // the weight of the old value (rules 1 to 3)
  eps: f32,
}

@group(0) @binding(0) var<storage, read> statistics: array<vec2f>;       // [rows >= K, total_channels] of (mean, variance)
@group(0) @binding(1) var<storage, read> pixels: array<u32>;                 // [total_channels]: HW of the channel's layer
@group(0) @binding(2) var<storage, read_write> runningMean: array<f32>;      // [total_channels]
@group(0) @binding(3) var<storage, read_write> runningVariance: array<f32>;  // [total_channels]
@group(0) @binding(4) var<uniform> params: Params;

alias Element = f32;
// @import lib/ghost-batch-norm.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= params.total_channels) { return; }
  let old = vec2f(runningMean[c], select(runningVariance[c], sqrt(runningVariance[c]), DEVIATION));
  var updated = old;
  if (RULE == 0u) {
    for (var g = 0u; g < params.ghosts; g++) {
      updated += params.momentum * (unbiased(g, c) - updated);
    }
  } else if (RULE == 1u) {
    var sum = vec2f();
    for (var g = 0u; g < params.ghosts; g++) {
      sum += unbiased(g, c);
    }
    updated = mix(sum / f32(params.ghosts), old, params.retained);
  } else if (RULE == 2u) {
    updated = mix(whole_batch(c), old, params.retained);
  } else {
    var weight = params.momentum;
    updated = params.retained * old;
    for (var g = 0u; g < params.ghosts; g++) {
      weight *= 1.0 - params.momentum;
      let statistic = statistics[g * params.total_channels + c];
      updated += weight * vec2f(statistic.x, averaged(statistic.y));
    }
  }
  runningMean[c] = updated.x;
  runningVariance[c] = select(updated.y, updated.y * updated.y, DEVIATION);
}

// The value that is averaged: the variance, or the standard deviation.
fn averaged(variance: f32) -> f32 {
  return select(variance, sqrt(variance + params.eps), DEVIATION);
}

fn values(g: u32, c: u32) -> f32 {
  return f32(ghost(g, params.ghost_size, params.ghosts, params.total).samples * pixels[c]);
}

fn unbiased(g: u32, c: u32) -> vec2f {
  let statistic = statistics[g * params.total_channels + c];
  let n = values(g, c);
  return vec2f(statistic.x, averaged(statistic.y * n / (n - 1.0)));
}

// Mean and unbiased variance over all ghosts. Means are taken relative to the first ghost's, from which they differ little.
fn whole_batch(c: u32) -> vec2f {
  let shift = statistics[c].x;
  var mean = 0.0;
  var square = 0.0;
  var count = 0.0;
  for (var g = 0u; g < params.ghosts; g++) {
    let statistic = statistics[g * params.total_channels + c];
    let n = values(g, c);
    let d = statistic.x - shift;
    mean += n * d;
    square += n * (statistic.y + d * d);
    count += n;
  }
  mean /= count;
  let variance = variance_of(vec2f(mean, square / count));
  return vec2f(shift + mean, averaged(variance * count / (count - 1.0)));
}
