// dropout/apply: drops values at random and scales the others up; the same kernel forward and backward.
//
//   y = x · mask / (1 − probability)      mask 1 where uniform01(word) >= probability, else 0
//
// with word = pcg4d(seed, STREAM + 256 · layer, step, e / 4)[e % 4], e = (first sample of the slab + n) · features + f: the
// value's index in the whole batch. So the mask does not depend on how a batch is cut into slabs, and backward draws it
// again instead of storing it. `layer` is different for each dropout of a network; streams are below 256.
// Source:   Srivastava et al. 2014, "Dropout", JMLR 15; scaled in training, so that evaluation is the identity.
// Dispatch: one lane per draw of pcg4d, which decides on four values, in a grid folded into two dimensions.

override STREAM: u32;       // which use of randomness (src/support/random.ts, STREAMS)
override ACCUMULATE: bool;  // y += instead of y =
override WG_SIZE: u32 = 64u;
alias Stored = f32;         // @spec  x and y in memory: f16 in mixed precision

struct Params {
  count: u32,        // draws
  first: u32,        // e of the slab's first value
  size: u32,         // values in the slab
  layer: u32,
  probability: f32,  // that a value is dropped
  scale: f32,        // 1 / (1 − probability)
}

@group(0) @binding(0) var<storage, read> x: array<Stored>;        // [size]
@group(0) @binding(1) var<storage, read_write> y: array<Stored>;  // [size]
@group(0) @binding(2) var<uniform> step: Step;
@group(0) @binding(3) var<uniform> params: Params;

// @import lib/step.wgsl
// @import lib/random.wgsl
// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let i = flat_index(wg, grid, local.x, WG_SIZE);
  if (i >= params.count) { return; }
  let draw = params.first / 4u + i;
  let words = pcg4d(vec4u(step.seed, STREAM + 256u * params.layer, step.step, draw));
  for (var j = 0u; j < 4u; j++) {
    let element = 4u * draw + j;
    let at = element - params.first;  // wraps around, beyond any size, if the draw begins before the slab
    if (at < params.size) {
      var value = select(0.0, params.scale * f32(x[at]), uniform01(words[j]) >= params.probability);
      if (ACCUMULATE) { value += f32(y[at]); }
      y[at] = Stored(value);
    }
  }
}
