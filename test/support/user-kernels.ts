// Kernels as a user would write them in place of channel-bias/add: y = x + bias[c].

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { benchUserKernel, type UserKernelReport } from "../../src/bench/user-kernel.ts";
import { readKernel } from "../../src/bench/user-kernel-file.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";

export const folder = mkdtempSync(join(tmpdir(), "kernels-"));
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

let gpu: Promise<Gpu> | undefined;

export const quick = { n: 3, budgetMs: 1, paperCases: 0 };

export async function check(
  file: string,
  as: string,
  options: typeof quick & { entry?: string } = quick,
): Promise<UserKernelReport> {
  gpu ??= openGpu();
  const context = { code: readKernel(file), shaders: shaderFiles, onPhase: () => undefined };
  return benchUserKernel(await gpu, { file, as, ...options }, context);
}

/** y = x + bias[c], one value per lane; `body` is what a lane does with its index i. */
export function biasKernel(body: string, head = ""): string {
  return `// @dispatch (ceil(SIZE / 64), 1, 1)
override C: u32;
override HW: u32;
override SIZE: u32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
${head}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = group.x * 64u + lane;
  ${body}
}
`;
}

export const OTHER = "@compute @workgroup_size(1) fn other() { y[0] = 1.0; }";
export const RIGHT = "if (i < SIZE) { y[i] = x[i] + bias[i / HW % C]; }";

let written = 0;
export function kernelFile(code: string): string {
  const path = join(folder, `${written++}.wgsl`);
  writeFileSync(path, code);
  return path;
}
