/** A dispatch as data, its prepared form, the interface of recorders, and how several are encoded. */
import { DeviceError, ShaderError } from "../support/errors.ts";
import type { AnyKernel, AnyLaunch } from "./kernel.ts";
import type { Storage } from "./storage.ts";

/** One dispatch, as a recording keeps it. */
export interface Command {
  readonly kernel: AnyKernel;
  readonly launch: AnyLaunch;
}

/** @throws DeviceError for a grid that WebGPU rejects; WebGPU itself reports this only at the next error scope */
export function requireGrid({ kernel, launch }: Command, limits: GPUSupportedLimits): void {
  const most = limits.maxComputeWorkgroupsPerDimension;
  const grid = launch.workgroups.map((side) => side ?? 1);
  if (grid.every((side) => Number.isInteger(side) && side >= 1 && side <= most)) return;
  throw new DeviceError(
    `${kernel.file}: a grid of ${grid.join(" × ")} workgroups: each side must be from 1 to ${most}`,
  );
}

/** @throws ShaderError for a missing buffer; DeviceError for one that was freed or is on another device */
export function requireBuffers({ kernel, launch }: Command, device: GPUDevice): void {
  for (const name of kernel.bindings) {
    const view = launch.buffers[name];
    if (!view) throw new ShaderError(`${kernel.file}: binds ${name}, but the launch has no buffer for it`);
    view.storage.requireUsable(`${kernel.file}: ${name}`, device);
  }
}

/** A dispatch with its pipeline and bind group, as a replay encodes it. */
export interface PreparedCommand {
  /** The kernel's file. */
  readonly file: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Takes the commands and the memory of a step that is being recorded. */
export interface Recorder {
  append(command: Command): void;
  allocate(bytes: number, label: string): Storage;
  /** Memory whose contents never change. */
  constant(data: Uint32Array<ArrayBuffer>, label: string): Storage;
  /** Notes an operation that cannot be recorded; the recording fails with this error, even if the caller does not await its promise. */
  refuse(error: Error): void;
}

/** Timestamp queries for a list of commands: two for each, in order, before and after it. */
export interface Timestamps {
  readonly querySet: GPUQuerySet;
  /** Index of the first command's query. */
  readonly first: number;
  /** All commands in one pass, with only two queries. */
  readonly together?: boolean;
}

/**
 * Encodes commands in one compute pass, or each in its own pass if timed. WebGPU orders them and
 * makes each see what the earlier ones wrote.
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
