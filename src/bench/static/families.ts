/**
 * The GPUs that `bench static` compiles for, and what an instruction costs on them. Costs are the cycles for which an instruction of one
 * wave (AMD: 64 lanes) or warp (NVIDIA: 32) occupies a unit of one scheduler, while all schedulers of a multiprocessor work.
 */
import type { Vendor } from "../../host/node/gpu-compilers.ts";

export interface Family {
  /** Its name in Mesa's replacement for the kernel driver. */
  readonly name: string;
  readonly vendor: Vendor;
  readonly chip: string;
  readonly costs: Costs;
  /** Limits of a multiprocessor, if the compiler counts its warps by registers alone. */
  readonly room?: { readonly sharedBytes: number; readonly workgroups: number };
}

export interface Costs {
  /** A multiply-add at peak rate. */
  readonly multiplyAdd: number;
  /** Other f32 arithmetic. */
  readonly float: number;
  readonly integer: number;
  readonly integerMultiply: number;
  /** A multiply-add of subgroup matrices of 16×16×16 f16 with sums in f32; absent if the compiler has none. */
  readonly matrixMultiplyAdd?: number;
  /** A byte of each lane that is read from or written to workgroup memory. */
  readonly sharedByte: number;
  /**
   * Whether all vector arithmetic goes through one unit, so that its cycles add up (AMD), or each instruction takes an issue
   * slot and then one of several units (NVIDIA).
   */
  readonly oneUnit: boolean;
}

/**
 * AMD RDNA 3 and 4: a SIMD of 32 lanes takes two cycles for a wave of 64, one for a multiply-add that it issues twice, which is what its
 * peak counts. Two SIMDs share 128 bytes a cycle of workgroup memory: 64 lanes · 1 byte / 64 bytes a cycle. Source: AMD, "RDNA3"
 * instruction set architecture, dual issue; "RDNA" white paper, local data share. A matrix instruction is 8192 operations; its peak is
 * 512 a cycle for the two SIMDs of a compute unit: 32 cycles. Source: AMD GPUOpen, "How to accelerate AI applications on RDNA 3 using
 * WMMA". It occupies the unit of all vector arithmetic.
 */
const RDNA3: Costs = {
  multiplyAdd: 1,
  float: 2,
  integer: 2,
  integerMultiply: 2,
  matrixMultiplyAdd: 32,
  sharedByte: 1,
  oneUnit: true,
};
/** RDNA 4: 1024 operations of matrices a cycle and compute unit. Source: AMD, "RDNA 4" architecture, Hot Chips 2025. */
const RDNA4: Costs = { ...RDNA3, matrixMultiplyAdd: 16 };
/** RDNA 2 has neither dual issue nor matrices. */
const { matrixMultiplyAdd: _, ...WITHOUT_MATRICES } = RDNA3;
const RDNA2: Costs = { ...WITHOUT_MATRICES, multiplyAdd: 2 };
/** GCN: four SIMDs of 16 lanes share 128 bytes a cycle. Source: AMD, "Graphics Cores Next" white paper. */
const GCN: Costs = {
  multiplyAdd: 4,
  float: 4,
  integer: 4,
  integerMultiply: 16,
  sharedByte: 2,
  oneUnit: true,
};
/**
 * NVIDIA GA10x: a scheduler issues one instruction a cycle; 32 f32 lanes, of which 16 do integers instead. Four schedulers share 128 bytes
 * a cycle of shared memory. Source: NVIDIA, "Ampere GA102" white paper.
 */
const GA10X: Costs = {
  multiplyAdd: 1,
  float: 1,
  integer: 2,
  integerMultiply: 2,
  sharedByte: 1,
  oneUnit: false,
};
/** GA100: 16 f32 lanes. Source: NVIDIA, "A100" white paper. */
const GA100: Costs = { ...GA10X, multiplyAdd: 2, float: 2 };
/** Turing: as GA100 with 64 bytes a cycle of shared memory. Source: NVIDIA, "Ampere GA102" white paper, which compares them. */
const TURING: Costs = { ...GA100, sharedByte: 2 };

/** Memory and workgroups of a multiprocessor: NVIDIA, "CUDA C++ Programming Guide", technical specifications per compute capability. */
export const FAMILIES: readonly Family[] = [
  { name: "navi31", vendor: "amd", chip: "RDNA 3, Radeon RX 7900", costs: RDNA3 },
  { name: "gfx1201", vendor: "amd", chip: "RDNA 4, Radeon RX 9070", costs: RDNA4 },
  { name: "navi21", vendor: "amd", chip: "RDNA 2, Radeon RX 6800 and 6900", costs: RDNA2 },
  { name: "vega20", vendor: "amd", chip: "GCN 5, Radeon VII", costs: GCN },
  {
    name: "0x172",
    vendor: "nvidia",
    chip: "Ampere GA102, GeForce RTX 3080 and 3090",
    costs: GA10X,
    room: { sharedBytes: 100 * 1024, workgroups: 16 },
  },
  {
    name: "0x170",
    vendor: "nvidia",
    chip: "Ampere GA100, A100",
    costs: GA100,
    room: { sharedBytes: 164 * 1024, workgroups: 32 },
  },
  {
    name: "0x164",
    vendor: "nvidia",
    chip: "Turing TU104, GeForce RTX 2080",
    costs: TURING,
    room: { sharedBytes: 64 * 1024, workgroups: 16 },
  },
];
