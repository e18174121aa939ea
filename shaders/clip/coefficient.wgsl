// clip/coefficient: the global norm of the gradient and the coefficient that clips it.
//
//   norm        = √ Σ_w partial[w] / loss_scale
//   coefficient = min(1, clip_norm / (norm + 1e-6))       1 when clip_norm is 0
//
// The squares that were summed are those of the true gradient times the loss scale, a power of two. `clip` receives coefficient /
// loss_scale, which removes the scale exactly wherever the gradient is used.
// With SKIP, a step whose norm or loss is NaN or infinite gets the coefficient -1 and is not applied (sgd/momentum,
// skip/restore). Norm and coefficient (0 for -1) also go into fields 4 and 5 of the step's row in the log, and the learning rate
// into field 6; field 0 is the loss.
// Source:   PyTorch's clip_grad_norm_ (its 1e-6 too), as the paper's released code calls it.
// Dispatch: (1, 1, 1).

override PARTS: u32;
override ROWS: u32;            // rows of the log
override SKIP: bool;
override WG_SIZE: u32 = 1u;    // lanes that share the partial sums, a power of two

struct Params {
  parts: u32,          // PARTS as a uniform, so that the loop over it is not unrolled
  inverse_scale: f32,  // 1 / loss_scale
}

@group(0) @binding(0) var<storage, read> partial: array<f32>;           // [PARTS]
@group(0) @binding(1) var<storage, read_write> clip: array<f32>;        // [2]: norm, coefficient / loss_scale
@group(0) @binding(2) var<storage, read_write> log_rows: array<vec4f>;  // [ROWS, 8]
@group(0) @binding(3) var<uniform> step: Step;
@group(0) @binding(4) var<uniform> params: Params;

// @import lib/step.wgsl
// @import lib/workgroup-sum.wgsl

// Tests the bits: a compiler that assumes finite arithmetic would optimise a comparison away.
fn finite(value: f32) -> bool { return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u; }

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(local_invocation_index) lane: u32) {
  var share = 0.0;
  for (var w = lane; w < min(params.parts, PARTS); w += WG_SIZE) { share += partial[w]; }
  let sum = workgroup_sum(share, lane);
  if (lane != 0u) { return; }
  let norm = sqrt(sum) * params.inverse_scale;
  var coefficient = 1.0;
  if (step.clip_norm > 0.0) { coefficient = min(1.0, step.clip_norm / (norm + 1e-6)); }
  let row = 2u * (step.step % ROWS);
  if (SKIP && !(finite(norm) && finite(log_rows[row].x))) { coefficient = -1.0; }
  clip[0] = norm;
  clip[1] = select(coefficient * params.inverse_scale, coefficient, coefficient < 0.0);
  log_rows[row + 1u] = vec4f(norm, max(coefficient, 0.0), step.learning_rate, 0.0);
}
