// clip/coefficient: the global norm of the gradient and what it is scaled by.
//
//   norm        = √ Σ_w partial[w]
//   coefficient = min(1, clip_norm / (norm + 1e-6))       1 when clip_norm is 0
//
// Both also go into fields 4 and 5 of the step's row of the log, the learning rate into field 6.
// Source:   PyTorch's clip_grad_norm_ (its 1e-6 too), as the paper's released code calls it.
// Dispatch: (1, 1, 1).

override PARTS: u32;
override ROWS: u32;            // rows of the log

struct Params { parts: u32 }   // PARTS once more, as a loop bound

@group(0) @binding(0) var<storage, read> partial: array<f32>;             // [PARTS]
@group(0) @binding(1) var<storage, read_write> clip: array<f32>;          // [2]: norm, coefficient
@group(0) @binding(2) var<storage, read_write> log_rows: array<vec4<f32>>; // [ROWS, 8]
@group(0) @binding(3) var<uniform> step: Step;
@group(0) @binding(4) var<uniform> params: Params;

// @import lib/step.wgsl

@compute @workgroup_size(1)
fn main() {
  var sum = 0.0;
  for (var w = 0u; w < min(params.parts, PARTS); w++) { sum += partial[w]; }
  let norm = sqrt(sum);
  var coefficient = 1.0;
  if (step.clip_norm > 0.0) { coefficient = min(1.0, step.clip_norm / (norm + 1e-6)); }
  clip[0] = norm;
  clip[1] = coefficient;
  log_rows[2u * (step.step % ROWS) + 1u] = vec4<f32>(norm, coefficient, step.learning_rate, 0.0);
}
