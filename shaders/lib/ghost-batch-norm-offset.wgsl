// lib/ghost-batch-norm-offset: where the values of one channel of a ghost are in x [N, C, HW]. The importing file declares C, and PIXELS,
// the Elements in one channel of one sample.

// Offset of an Element of a channel of a ghost, counted over the ghost's samples, from its first one.
fn offset(element: u32) -> u32 {
  return (element / PIXELS) * C * PIXELS + element % PIXELS;
}
