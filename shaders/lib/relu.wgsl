// lib/relu: rectified values and their gradients. A NaN stays one in either direction, as in PyTorch; max(x, 0) may give 0.
// The importing file declares `alias Element`: f32, or vec4f where four values travel together.

// x where it is positive, else 0.
fn rectified(x: Element) -> Element {
  return select(x, Element(), x <= Element());
}

// The incoming gradient behind a relu: dy where the relu let y through, else 0.
fn through_relu(dy: Element, y: Element) -> Element {
  return select(dy, Element(), y <= Element());
}
