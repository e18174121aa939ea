// lib/conv2d-lattice: the outputs of an input gradient that use the same taps of a filter: every STRIDE-th row or column,
// that is, those with the same remainder modulo STRIDE. Without TRANSPOSED all outputs and taps form one lattice. The importing
// file declares STRIDE, PADDING and TRANSPOSED.

// A lattice along rows or columns: its first output and their number, its first tap and their number.
struct Lattice { first: u32, count: u32, tap: u32, taps: u32 }

fn lattice(remainder: u32, size: u32, filter_size: u32) -> Lattice {
  if (!TRANSPOSED) { return Lattice(0u, size, 0u, filter_size); }
  let tap = (remainder + PADDING) % STRIDE;
  return Lattice(remainder, counted(remainder, size), tap, counted(tap, filter_size));
}

// How many of first, first + STRIDE, … are below `size`.
fn counted(first: u32, size: u32) -> u32 {
  return select(0u, (size - first + STRIDE - 1u) / STRIDE, first < size);
}
