/** A dispatch as data: what it runs, what is made of it, who may take it instead of running it, and how many are encoded. */
import type { AnyKernel, AnyLaunch } from "./kernel.ts";
import type { Storage } from "./storage.ts";

/** One dispatch: what a recording keeps. */
export interface Command {
  readonly kernel: AnyKernel;
  readonly launch: AnyLaunch;
}

/** A dispatch with everything made: what a replay encodes. */
export interface PreparedCommand {
  /** File of the kernel. */
  readonly file: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Takes the commands and the memory of a step that is being recorded. */
export interface Recorder {
  append(command: Command): void;
  allocate(bytes: number, label: string): Storage;
}

/** The commands in one compute pass; WebGPU orders them and makes each see what those before it wrote. */
export function encodeCommands(
  device: GPUDevice,
  commands: readonly PreparedCommand[],
  label: string,
): GPUCommandBuffer {
  const encoder = device.createCommandEncoder({ label });
  const pass = encoder.beginComputePass();
  let current: GPUComputePipeline | null = null;
  for (const { pipeline, bindGroup, workgroups } of commands) {
    if (pipeline !== current) pass.setPipeline(pipeline);
    current = pipeline;
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
  }
  pass.end();
  return encoder.finish();
}
