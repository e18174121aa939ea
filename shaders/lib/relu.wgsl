// lib/relu: rectified values and their gradients. NaN stays NaN in both directions, as in PyTorch; max(x, 0) may give 0.
// The importing file declares `alias Element`: f32, or vec4f where a lane handles four values at a time.

// x where it is positive or NaN, else 0.
fn rectified(x: Element) -> Element {
  return select(x, Element(), x <= Element());
}

// The gradient of a relu's input: dy where the relu passed its input on (or y is NaN), else 0.
fn through_relu(dy: Element, y: Element) -> Element {
  return select(dy, Element(), y <= Element());
}
