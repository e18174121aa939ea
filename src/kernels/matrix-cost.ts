/**
 * What a tile on subgroup matrices costs, for the choice among tiles that `ghostbatch tune` has not measured. The unit is a
 * multiply-add of a matrix unit. A model: it need only put tiles in order.
 */

export const MATRIX_LIMITS = {
  /** Registers of a lane that hold sums, at most: a quarter of the 256 that GPUs have. */
  sumRegisters: 64,
  /** Likewise where each tap of a filter has sums of its own: on 32 lanes nine matrices of 16×16 take 72. */
  tapSumRegisters: 96,
  /** Registers of a lane that hold numbers on their way from memory. */
  registersOnTheWay: 48,
  /** Workgroup memory, bytes: with more, an AMD compute unit of 64 KiB holds a single workgroup. */
  workgroupBytes: 32768,
  /** Products computed for each product of the layer, at most: beyond, the wide kernels waste less. */
  waste: 2,
  /** Workgroups that a large GPU needs to be busy: two for each of an H100's 132 multiprocessors. */
  workgroups: 264,
};

/** Registers of a lane that a matrix of sums takes. */
export function sumRegisters({ M, N, LANES }: { M: number; N: number; LANES: number }): number {
  return Math.ceil((M * N) / LANES);
}

/**
 * Multiply-adds, and the matrices that are loaded from workgroup memory for them. A 16×16 matrix of f16 takes 128 bytes a cycle 4
 * cycles, its product 8 on GA102 (512 multiply-adds a cycle and multiprocessor; NVIDIA, "Ampere GA102" white paper): a half.
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

/** Instructions of a lane for a number on its way into or out of workgroup memory: loads of four neighbours, single weights, sums. */
const INSTRUCTIONS = { patch: 2, weights: 6, results: 3, barriers: 20 };
/** Multiply-adds of a matrix unit in the time of one instruction of one lane: 512 beside 128 lanes on GA102. */
const PRODUCTS_OF_INSTRUCTION = 4;

/** The work of the lanes beside that of the matrix units, of so many numbers and waits of a thread. */
export function laneWork(counts: Readonly<Record<keyof typeof INSTRUCTIONS, number>>): number {
  let instructions = 0;
  for (const [what, each] of Object.entries(INSTRUCTIONS)) {
    instructions += each * counts[what as keyof typeof INSTRUCTIONS];
  }
  return PRODUCTS_OF_INSTRUCTION * instructions;
}
