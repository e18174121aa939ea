/**
 * A model of what a tile on subgroup matrices costs, to choose among tiles that `ghostbatch tune` has not measured. The unit is a
 * multiply-add of a matrix unit. The model only needs to rank tiles.
 */

export const MATRIX_LIMITS = {
  /** The most registers of a lane that may hold sums: a quarter of the 256 that GPUs have. */
  sumRegisters: 64,
  /** The same if each tap of a filter has its own sums: on 32 lanes nine matrices of 16×16 take 72. */
  tapSumRegisters: 96,
  /** The most registers of a lane that may hold numbers being fetched from memory. */
  registersOnTheWay: 48,
  /** The most workgroup memory, bytes: with more, an AMD compute unit of 64 KiB holds only one workgroup. */
  workgroupBytes: 32768,
  /** The most products computed per product of the layer: above this, the wide kernels waste less. */
  waste: 2,
  /** Workgroups that a large GPU needs to be busy: two for each of an H100's 132 multiprocessors. */
  workgroups: 264,
};

/** Registers per lane for a matrix of sums. */
export function sumRegisters({ M, N, LANES }: { M: number; N: number; LANES: number }): number {
  return Math.ceil((M * N) / LANES);
}

/**
 * The cost of multiply-adds and of loading their matrices from workgroup memory. On GA102, loading a 16×16 matrix of f16 takes 4 cycles
 * (128 bytes per cycle) and its product 8 (512 multiply-adds per cycle and multiprocessor; NVIDIA, "Ampere GA102" white paper): a ratio
 * of a half.
 */
export function multiplyWork(tile: {
  readonly products: number;
  readonly BLOCKS_M: number;
  readonly BLOCKS_N: number;
  readonly M: number;
  readonly N: number;
}): number {
  const { products, BLOCKS_M, BLOCKS_N, M, N } = tile;
  const left = 8 / (BLOCKS_N * N);
  const right = 8 / (BLOCKS_M * M);
  return products * (1 + left + right);
}

/** Instructions of a lane per number that moves into or out of workgroup memory: loads of four neighbours, single weights, sums. */
const INSTRUCTIONS = { patch: 2, weights: 6, results: 3, barriers: 20 };
/** Multiply-adds that a matrix unit does while one lane executes one instruction: on GA102, 512 per 128 lanes. */
const PRODUCTS_OF_INSTRUCTION = 4;

/** The work of the lanes, besides that of the matrix units, from the numbers that a thread moves and its waits. */
export function laneWork(counts: Readonly<Record<keyof typeof INSTRUCTIONS, number>>): number {
  let instructions = 0;
  for (const [what, each] of Object.entries(INSTRUCTIONS)) {
    instructions += each * counts[what as keyof typeof INSTRUCTIONS];
  }
  return PRODUCTS_OF_INSTRUCTION * instructions;
}
