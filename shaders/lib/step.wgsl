// lib/step: the values that change from one training step to the next. One uniform, rewritten before each replay.

struct Step {
  learning_rate: f32,
  momentum: f32,      // 0 in the first step after a momentum reset, which equals a velocity of 0
  weight_decay: f32,
  clip_norm: f32,     // global L2 norm that the gradient is clipped to; 0: no clipping
  seed: u32,
  epoch: u32,
  step: u32,          // steps since the start of the run
  first_sample: u32,  // position of the batch's first sample in the epoch's order
}
