/** A dispatch as data: what it runs, what is made of it, who may take it instead of running it, and how many are encoded. */
import { DeviceError } from "../support/errors.ts";
import type { AnyKernel, AnyLaunch } from "./kernel.ts";
import type { Storage } from "./storage.ts";

/** One dispatch: what a recording keeps. */
export interface Command {
  readonly kernel: AnyKernel;
  readonly launch: AnyLaunch;
}

/** @throws DeviceError for a grid that WebGPU refuses, which it would do without a word until the next error scope */
export function requireGrid({ kernel, launch }: Command, limits: GPUSupportedLimits): void {
  const most = limits.maxComputeWorkgroupsPerDimension;
  const grid = launch.workgroups.map((side) => side ?? 1);
  if (grid.every((side) => Number.isInteger(side) && side >= 1 && side <= most)) return;
  throw new DeviceError(
    `${kernel.file}: a grid of ${grid.join(" × ")} workgroups: each side must be from 1 to ${most}`,
  );
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
  /** Memory with contents that never change. */
  constant(data: Uint32Array<ArrayBuffer>, label: string): Storage;
  /** Notes what cannot be recorded: the recording fails with it, even where the caller does not wait for its promise. */
  refuse(error: Error): void;
}

/** Where the GPU's clock is written before and after each of some commands: two queries each, one command behind the other. */
export interface Timestamps {
  readonly querySet: GPUQuerySet;
  /** Query of the first command. */
  readonly first: number;
  /** All commands in one pass, with two queries in all. */
  readonly together?: boolean;
}

/**
 * The commands in one compute pass, or each in a pass of its own where their times are asked for; WebGPU orders them and
 * makes each see what those before it wrote.
 */
export function encodeCommands(
  device: GPUDevice,
  commands: readonly PreparedCommand[],
  label: string,
  timestamps: Timestamps | null = null,
): GPUCommandBuffer {
  const encoder = device.createCommandEncoder({ label });
  if (timestamps === null) encodePass(encoder.beginComputePass(), commands);
  else if (timestamps.together) {
    const { querySet, first } = timestamps;
    const timestampWrites = { querySet, beginningOfPassWriteIndex: first, endOfPassWriteIndex: first + 1 };
    encodePass(encoder.beginComputePass({ timestampWrites }), commands);
  } else {
    const { querySet, first } = timestamps;
    for (const [index, command] of commands.entries()) {
      const beginningOfPassWriteIndex = first + 2 * index;
      const endOfPassWriteIndex = beginningOfPassWriteIndex + 1;
      const timestampWrites = { querySet, beginningOfPassWriteIndex, endOfPassWriteIndex };
      encodePass(encoder.beginComputePass({ timestampWrites }), [command]);
    }
  }
  return encoder.finish();
}

function encodePass(pass: GPUComputePassEncoder, commands: readonly PreparedCommand[]): void {
  let current: GPUComputePipeline | null = null;
  for (const { pipeline, bindGroup, workgroups } of commands) {
    if (pipeline !== current) pass.setPipeline(pipeline);
    current = pipeline;
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
  }
  pass.end();
}
