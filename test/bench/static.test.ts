// Output of GPU compilers: how listings are read, and what the built-in kernels must reach.
import { describe, expect, test } from "vitest";
import { readAmdListing } from "../../src/bench/static/amd-listing.ts";
import { FAMILIES, type Family } from "../../src/bench/static/families.ts";
import { needlessClamps } from "../../src/bench/static/instructions.ts";
import { reportOf } from "../../src/bench/static/kernel-report.ts";
import { readNvidiaListing } from "../../src/bench/static/nvidia-listing.ts";
import { staticReport } from "../../src/bench/static/static.ts";
import { installedCompilers } from "../../src/host/node/gpu-compilers.ts";

const family = (name: string): Family => FAMILIES.find((one) => one.name === name)!;

/** A step of two iterations of a loop with four multiply-adds, which reads 16 + 4 bytes of workgroup memory and clamps an index. */
const AMD = `Compute Shader
disasm:
BB0:
	v_mov_b32_e32 v0, 0                 ; 7e000280
BB1:
	global_load_b128 v[4:7], v1, s[0:1] ; dc5e0000
	ds_store_b128 v2, v[4:7]            ; db7c0000
	s_barrier                           ; bfbd0000
BB2:
	v_min_u32_e32 v8, 15, v8            ; 2610108f
	ds_load_b128 v[12:15], v8           ; dbfc0000
	ds_load_b32 v16, v8                 ; d8d80000
	s_waitcnt lgkmcnt(0)                ; bf89fc07
	v_fmac_f32_e32 v20, v12, v16        ; 5628210c
	v_fmac_f32_e32 v21, v13, v16        ; 562a210d
	v_dual_fmac_f32 v22, v14, v16 :: v_dual_fmac_f32 v23, v15, v16 ; c800210e
	s_cbranch_scc0 BB2                  ; bfa1fff0
	s_cbranch_vccz BB1                  ; bfa3ffe0
	s_endpgm                            ; bfb00000


Compute Shader:
*** SHADER STATS ***
VGPRs: 24
Spilled VGPRs: 0
Code size: 292
LDS size: 2048
Scratch size: 0
Subgroups per SIMD: 16
********************
`;

const NVIDIA = `statistic Number of GPRs: 40
statistic Max warps/SM: 48
statistic SLM size: 16
statistic workgroup_size: 64, 1, 1
statistic shared_size: 20480
listing NAK assembly
block.u 0 L0 [] -> {
      r0    = mov rZ                                  // delay=1
} -> [1]
block 1 L1 [0, 1] -> {
      r8    = imnmx.u32 r8 0xf pT                     // delay=4
      r12..16 = ld.shared.strong.cta.b128 [r8]        // delay=2
      ur0   = iadd3 ur0 0x1 rZ                        // delay=2
      r20   = ffma.ftz r12 r16 r20                    // delay=4
      r21   = ffma.ftz r13 r16 r21                    // delay=4
@!p0          bra pT L1                               // delay=1
} -> [1, 2]
block 2 L2 [1] -> {
              st.local.b32 [rZ] r20                   // delay=1
              exit                                    // delay=1
} -> []
`;

describe("listings", () => {
  test("RADV: registers, the hot loop by kind, and the bound of a step", () => {
    const report = reportOf(readAmdListing(AMD)!, family("navi31").costs, 8);
    expect(report).toMatchObject({ registers: 24, waves: 16, scratchBytes: 0, sharedBytes: 2048 });
    const { counts, limit, share } = report.hotLoop!;
    expect(counts.kinds).toMatchObject({
      "multiply-add": 4,
      integer: 1,
      "shared load": 2,
      wait: 1,
      branch: 1,
    });
    expect(counts).toMatchObject({ sharedBytes: 20, clamps: 1 });
    expect(needlessClamps(counts)).toBe(1);
    // 4 cycles of multiply-adds, 6 of vector instructions, 20 bytes per lane at one byte per cycle.
    expect([limit, share]).toEqual(["workgroup memory", 4 / 20]);
    expect(report.step).toMatchObject({ trips: 2, limit: "workgroup memory", share: 8 / (2 * 20 + 16) });
    // Two clamps in two iterations. The outer loop has a load and a store that may need one each.
    expect(report.step!.counts.clamps).toBe(2);
    expect(needlessClamps(report.step!.counts)).toBe(0);
  });

  test("RADV: without dual issue a multiply-add takes as long as other instructions", () => {
    const { hotLoop } = reportOf(readAmdListing(AMD)!, family("navi21").costs, null);
    expect(hotLoop!.share).toBe(8 / 20);
  });

  test("NVK: workgroup memory limits the number of warps", () => {
    const { costs, room } = family("0x172");
    const report = reportOf(readNvidiaListing(NVIDIA, room!)!, costs, null);
    expect(report).toMatchObject({
      registers: 40,
      waves: 10,
      scratchBytes: 16,
      sharedBytes: 20480,
      step: null,
    });
    expect(report.hotLoop!.counts.kinds).toMatchObject({
      "multiply-add": 2,
      scalar: 1,
      integer: 1,
      branch: 1,
    });
    expect(report.hotLoop).toMatchObject({ limit: "workgroup memory", share: 2 / 16 });
  });

  test("without a step if the @products line does not match the loops", () => {
    expect(reportOf(readAmdListing(AMD)!, family("navi31").costs, 10).step).toBeNull();
  });
});

/** Two matrix multiply-adds of 32 cycles, 8 loads of 16 bytes, one addition: 128 cycles of workgroup memory, 66 of vector arithmetic. */
const AMD_MATRICES = AMD.replace(
  /\tv_min_u32[\s\S]*?v_dual_fmac.*/,
  [
    ...new Array(8).fill("\tds_load_b128 v[12:15], v8"),
    "\tv_add_nc_u32_e32 v8, 16, v8",
    "\tv_wmma_f32_16x16x16_f16 v[40:47], v[12:19], v[20:27], v[40:47]",
    "\tv_wmma_f32_16x16x16_f16 v[48:55], v[12:19], v[28:35], v[48:55]",
    "\tv_fmac_f32_e32 v20, v12, v16",
  ].join("\n"),
);

test("RADV: a loop with matrix instructions is compared with the peak of the matrix units, whatever else it multiplies", () => {
  const { hotLoop, step } = reportOf(readAmdListing(AMD_MATRICES)!, family("navi31").costs, 4);
  expect(hotLoop!.counts.kinds).toMatchObject({ "matrix multiply-add": 2, "multiply-add": 1, integer: 1 });
  expect(hotLoop).toMatchObject({ peak: "matrix", limit: "workgroup memory", share: 64 / 128 });
  expect(step).toMatchObject({ trips: 2, peak: "matrix", share: 128 / (2 * 128 + 16) });
});

const SUBJECTS = [{ kind: "step", model: "f1", batch: 4096, ghostSize: 128 }] as const;

describe.each(FAMILIES.filter(({ name }) => name === "navi31" || name === "0x172"))("$name", (one) => {
  test.for(SUBJECTS)(
    "no kernel of $model uses scratch memory or clamps an index needlessly in its hot loop",
    { timeout: 600_000 },
    async (subject, { skip }) => {
      if (!installedCompilers().includes(one.vendor))
        skip("its compiler is not installed: run `node scripts/gpu-compilers.mjs`");
      const { kernels } = await staticReport(one, subject, () => undefined);
      expect(kernels.length).toBeGreaterThan(0);
      expect(kernels.filter(({ scratchBytes, spills }) => scratchBytes + spills > 0)).toEqual([]);
      const clamped = kernels.filter(({ hotLoop }) => hotLoop && needlessClamps(hotLoop.counts) > 0);
      expect(clamped.map(({ kernel, values }) => ({ kernel, values }))).toEqual([]);
    },
  );
});

test("in mixed precision the layers of ResNet run on navi31's matrices, without scratch memory", {
  timeout: 600_000,
}, async ({ skip }) => {
  if (!installedCompilers().includes("amd"))
    skip("its compiler is not installed: run `node scripts/gpu-compilers.mjs`");
  const subject = { kind: "step", model: "resnet8", batch: 128, ghostSize: 128, precision: "mixed" } as const;
  const { kernels, matrixBound } = await staticReport(family("navi31"), subject, () => undefined);
  const onMatrices = kernels.filter(({ kernel }) => kernel.endsWith("matrix.wgsl"));
  for (const { kernel, hotLoop, scratchBytes, spills } of onMatrices) {
    expect(hotLoop?.peak, kernel).toBe("matrix");
    expect(scratchBytes + spills, kernel).toBe(0);
  }
  // All but the first layer, whose 3 channels would leave most of a matrix empty, and the head, which is f32.
  const work = (all: typeof kernels) => all.reduce((sum, { cost }) => sum + cost.flops, 0);
  const products = kernels.filter(({ products }) => products !== null);
  expect(work(onMatrices) / work(products)).toBeGreaterThan(0.85);
  expect(matrixBound).toBeGreaterThan(0.4);
});
