// lib/conv2d-lattice: the outputs of an input gradient that use the same taps of a filter: every STRIDE-th along rows or columns, those
// of one remainder. Without TRANSPOSED all outputs and taps are one lattice. The importing file declares STRIDE, PADDING and TRANSPOSED.

// Outputs of one remainder along rows or columns: the first one, how many; of their taps the first one, how many.
struct Lattice { first: u32, count: u32, tap: u32, taps: u32 }

fn lattice(remainder: u32, size: u32, filter_size: u32) -> Lattice {
  if (!TRANSPOSED) { return Lattice(0u, size, 0u, filter_size); }
  let tap = (remainder + PADDING) % STRIDE;
  return Lattice(remainder, counted(remainder, size), tap, counted(tap, filter_size));
}

// How many numbers below `size` there are in first, first + STRIDE, …
fn counted(first: u32, size: u32) -> u32 {
  return select(0u, (size - first + STRIDE - 1u) / STRIDE, first < size);
}
