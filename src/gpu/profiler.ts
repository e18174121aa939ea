/** Time of every dispatch of a step: by timestamp queries where the adapter has them, else by waiting for each. */
import type { Command, PreparedCommand } from "./command.ts";
import type { Gpu } from "./gpu.ts";
import type { Cost } from "./kernel.ts";
import type { BufferView } from "./storage.ts";

export interface DispatchTime {
  readonly kernel: string;
  /** Its buffers and their shapes: "x [32, 16, 32, 32]". */
  readonly buffers: readonly string[];
  readonly workgroups: readonly [number, number, number];
  readonly ms: number;
  readonly cost: Cost;
}

/** Queries in one set: WebGPU's limit. Two belong to a dispatch. */
const QUERIES = 4096;

/** Runs the commands in order, each in a compute pass of its own, and returns their times in ms. */
export async function measureDispatches(
  gpu: Gpu,
  commands: readonly Command[],
  prepared: readonly PreparedCommand[],
): Promise<DispatchTime[]> {
  const times = await timeDispatches(gpu, prepared);
  return commands.map(({ kernel, launch }, index) => ({
    kernel: kernel.file,
    buffers: Object.entries(launch.buffers).map(([name, view]) => `${name} [${shapeOf(view)}]`),
    workgroups: prepared[index]!.workgroups,
    ms: times[index]!,
    cost: launch.cost,
  }));
}

/** The times alone, ms. */
export function timeDispatches(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  return gpu.device.features.has("timestamp-query") ? byTimestamps(gpu, prepared) : byWaiting(gpu, prepared);
}

/** Tensors have a shape; a plain range of memory has its numbers. */
function shapeOf(view: BufferView & { readonly shape?: readonly number[] }): string {
  return (view.shape ?? [view.byteLength / 4]).join(", ");
}

async function byTimestamps(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  gpu.flush();
  const { device } = gpu;
  const times: number[] = [];
  for (let start = 0; start < prepared.length; start += QUERIES / 2) {
    const part = prepared.slice(start, start + QUERIES / 2);
    const querySet = device.createQuerySet({ type: "timestamp", count: part.length * 2 });
    const bytes = part.length * 16;
    const resolved = device.createBuffer({ size: bytes, usage: 0x200 | 0x4 }); // QUERY_RESOLVE | COPY_SRC
    const staging = device.createBuffer({ size: bytes, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
    const encoder = device.createCommandEncoder({ label: "profile" });
    for (const [index, { pipeline, bindGroup, workgroups }] of part.entries()) {
      const timestampWrites = {
        querySet,
        beginningOfPassWriteIndex: index * 2,
        endOfPassWriteIndex: index * 2 + 1,
      };
      const pass = encoder.beginComputePass({ timestampWrites });
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(...workgroups);
      pass.end();
    }
    encoder.resolveQuerySet(querySet, 0, part.length * 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(0x1);
    const stamps = new BigUint64Array(staging.getMappedRange());
    for (let i = 0; i < part.length; i++) times.push(Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6);
    for (const object of [querySet, resolved, staging]) object.destroy();
  }
  return times;
}

async function byWaiting(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  gpu.flush();
  await gpu.device.queue.onSubmittedWorkDone();
  const times: number[] = [];
  for (const command of prepared) {
    const start = performance.now();
    gpu.submit([command], "profile");
    await gpu.device.queue.onSubmittedWorkDone();
    times.push(performance.now() - start);
  }
  return times;
}
