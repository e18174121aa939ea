// lib/ghost-batch-norm: what the passes of ghost batch norm share, so that forward and backward compute the very same numbers.
// The importing file declares `alias Element`: f32, or vec4f where four values travel together.

// The samples of ghost g: the first one, and how many. A batch is cut in order into ghosts of `ghost_size`; the last
// one runs to the end of the batch, so it may be shorter or longer.
struct Ghost {
  first: u32,
  samples: u32,
}

fn ghost(g: u32, ghost_size: u32, ghosts: u32, total: u32) -> Ghost {
  let first = g * ghost_size;
  return Ghost(first, select(ghost_size, total - first, g + 1u == ghosts));
}

// The variance of means (d, d²): E[d²] − E[d]², 0 where rounding takes it below. A NaN stays one, which max(…, 0) may lose.
fn variance_of(moments: vec2f) -> f32 {
  let variance = moments.y - moments.x * moments.x;
  return select(variance, 0.0, variance < 0.0);
}

// r = 1 / √(variance + eps)
fn inverse_deviation(variance: Element, eps: f32) -> Element {
  return 1.0 / sqrt(variance + eps);
}

// gamma · (x − mean) · r + beta, with scale = gamma · r. The mean is taken off before anything is multiplied, which
// keeps every digit when |mean| ≫ σ; fma is spelled out because backward recomputes the sign of this for the relu mask.
fn affine(x: Element, mean: Element, scale: Element, beta: Element) -> Element {
  return fma(x - mean, scale, beta);
}
