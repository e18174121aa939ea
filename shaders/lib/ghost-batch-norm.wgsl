// lib/ghost-batch-norm: functions of all passes of ghost batch norm, so that forward and backward compute the same bits.
// The importing file declares `alias Element`: f32, or vec4f where a lane handles four values at a time.

// The samples of ghost g: the first one, and how many. A batch is cut in order into ghosts of `ghost_size`; the last
// one takes the rest of the batch, so it may be shorter or longer.
struct Ghost {
  first: u32,
  samples: u32,
}

fn ghost(g: u32, ghost_size: u32, ghosts: u32, total: u32) -> Ghost {
  let first = g * ghost_size;
  return Ghost(first, select(ghost_size, total - first, g + 1u == ghosts));
}

// The variance from the means of d and d²: E[d²] − E[d]², or 0 if rounding makes it negative. NaN stays NaN; max(…, 0) might lose it.
fn variance_of(moments: vec2f) -> f32 {
  let variance = moments.y - moments.x * moments.x;
  return select(variance, 0.0, variance < 0.0);
}

// r = 1 / √(variance + eps)
fn inverse_deviation(variance: Element, eps: f32) -> Element {
  return 1.0 / sqrt(variance + eps);
}

// gamma · (x − mean) · r + beta, with scale = gamma · r. The mean is subtracted before anything is multiplied, so
// no digits are lost when |mean| ≫ σ. fma is explicit because backward recomputes the sign of this value for the relu's mask.
fn affine(x: Element, mean: Element, scale: Element, beta: Element) -> Element {
  return fma(x - mean, scale, beta);
}
