/** What a compiler says of one pipeline. */
import type { Block } from "./loops.ts";

export interface Compiled {
  /** Of a lane. */
  readonly registers: number;
  /** Waves that a scheduler keeps at the same time (AMD: of a SIMD), or warps of a multiprocessor (NVIDIA), as registers and workgroup memory allow. */
  readonly waves: number;
  /** Memory of a lane for what does not fit into registers, bytes. */
  readonly scratchBytes: number;
  /** Registers that go to memory for want of room. */
  readonly spills: number;
  /** Workgroup memory, bytes. */
  readonly sharedBytes: number;
  readonly codeBytes: number;
  readonly blocks: readonly Block[];
}
