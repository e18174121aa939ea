// sgd/momentum: one step of momentum SGD with weight decay, in place on the flat parameters.
//
//   velocity ← momentum · velocity + (coefficient · gradient + weight_decay · value)
//   value    ← value − learning_rate · velocity
//
// A coefficient below 0 marks a skipped step (clip/coefficient): nothing changes, except that a velocity which this step should
// have reset is reset.
// Source:   Hoffer et al. 2017, released code (torch.optim.SGD: no Nesterov, no dampening); clipping comes
//           before weight decay and momentum.
// Dispatch: one lane per vec4, in a grid folded into two dimensions.

override QUADS: u32;           // length in vec4
override WG_SIZE: u32 = 64u;

@group(0) @binding(0) var<storage, read> gradient: array<vec4f>;        // [QUADS · 4]
@group(0) @binding(1) var<storage, read> clip: array<f32>;                  // [2]: norm, coefficient
@group(0) @binding(2) var<storage, read_write> velocity: array<vec4f>;  // [QUADS · 4]
@group(0) @binding(3) var<storage, read_write> value: array<vec4f>;     // [QUADS · 4]
@group(0) @binding(4) var<uniform> step: Step;

// @import lib/step.wgsl
// @import lib/grid.wgsl

@compute @workgroup_size(WG_SIZE)
fn main(
  @builtin(workgroup_id) wg: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let lane = local.x;
  let i = flat_index(wg, count, lane, WG_SIZE);
  if (i >= QUADS) { return; }
  if (clip[1] < 0.0) {
    if (step.momentum == 0.0) { velocity[i] = vec4f(); }
    return;
  }
  let w = value[i];
  let v = step.momentum * velocity[i] + (clip[1] * gradient[i] + step.weight_decay * w);
  velocity[i] = v;
  value[i] = w - step.learning_rate * v;
}
