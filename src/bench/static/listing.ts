/** What a compiler reports about one pipeline. */
import type { Block } from "./loops.ts";

export interface Compiled {
  /** Per lane. */
  readonly registers: number;
  /** Waves per SIMD (AMD) or warps per multiprocessor (NVIDIA) that registers and workgroup memory allow at the same time. */
  readonly waves: number;
  /** Memory per lane for what does not fit into registers, bytes. */
  readonly scratchBytes: number;
  /** Registers that are spilled to memory. */
  readonly spills: number;
  /** Workgroup memory, bytes. */
  readonly sharedBytes: number;
  readonly codeBytes: number;
  readonly blocks: readonly Block[];
}
