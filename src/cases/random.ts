// Counters of pcg4d whose words are compared bit for bit: zeros, single bits, every word at its largest.

const LARGEST = 0xffffffff;

export const randomCounters: readonly (readonly [number, number, number, number])[] = [
  [0, 0, 0, 0],
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
  [0, 0, 0, 1],
  [123, 3, 0, 59_999],
  [0x80000000, 0x80000000, 0x80000000, 0x80000000],
  [LARGEST, 0, 0, 0],
  [0, 0, 0, LARGEST],
  [LARGEST, LARGEST, LARGEST, LARGEST],
  [2_654_435_769, 7, 1_000_003, 16_777_217],
];
