/**
 * Time of every dispatch of a step: by timestamp queries where the adapter has them, else by waiting for each, and then
 * nothing else may be submitted before the times are there.
 */
import type { Command, PreparedCommand } from "./command.ts";
import type { Gpu } from "./gpu.ts";
import type { Cost } from "./kernel.ts";
import type { BufferView } from "./storage.ts";

/** A dispatch in words and numbers. */
export interface DispatchDescription {
  readonly kernel: string;
  /** Its buffers and their shapes: "x [32, 16, 32, 32]". */
  readonly buffers: readonly string[];
  readonly workgroups: readonly [number, number, number];
  readonly cost: Cost;
}

export interface DispatchTime extends DispatchDescription {
  readonly ms: number;
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
  return commands.map((command, index) => ({ ...describeDispatch(command), ms: times[index]! }));
}

export function describeDispatch({ kernel, launch }: Command): DispatchDescription {
  const [x, y = 1, z = 1] = launch.workgroups;
  const buffers = Object.entries(launch.buffers).map(([name, view]) => `${name} [${shapeOf(view)}]`);
  return { kernel: kernel.file, buffers, workgroups: [x, y, z], cost: launch.cost };
}

/** The times alone, ms. @throws what went wrong on the device: the times of a dispatch that was refused mean nothing */
export async function timeDispatches(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  const times = await (hasTimestamps(gpu) ? byTimestamps(gpu, prepared) : byWaiting(gpu, prepared));
  gpu.failures.throwKnown();
  return times;
}

/** Whether times are taken without waiting: the commands are then all submitted when `timeDispatches` returns. */
export function hasTimestamps(gpu: Gpu): boolean {
  return gpu.device.features.has("timestamp-query");
}

/** Tensors have a shape; a plain range of memory has its numbers. */
function shapeOf(view: BufferView & { readonly shape?: readonly number[] }): string {
  return (view.shape ?? [view.byteLength / 4]).join(", ");
}

/** All is submitted before the first await: whatever the caller writes or submits next comes after it. */
async function byTimestamps(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  const parts: (() => Promise<number[]>)[] = [];
  for (let start = 0; start < prepared.length; start += QUERIES / 2)
    parts.push(submitTimed(gpu, prepared.slice(start, start + QUERIES / 2)));
  const times: number[] = [];
  for (const read of parts) times.push(...(await read()));
  return times;
}

/**
 * The time of several commands in one compute pass, as a step runs them, ms.
 * @throws what WebGPU throws where the adapter has no timestamps (see `hasTimestamps`)
 */
export async function timeTogether(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number> {
  const [ms] = await submitTimed(gpu, prepared, true)();
  return ms!;
}

/** Submits the commands of one query set; what it returns waits for their times. */
function submitTimed(gpu: Gpu, part: readonly PreparedCommand[], together = false): () => Promise<number[]> {
  const { device } = gpu;
  const passes = together ? 1 : part.length;
  const querySet = device.createQuerySet({ type: "timestamp", count: passes * 2 });
  const bytes = passes * 16;
  const resolved = device.createBuffer({ size: bytes, usage: 0x200 | 0x4 }); // QUERY_RESOLVE | COPY_SRC
  const staging = device.createBuffer({ size: bytes, usage: 0x1 | 0x8 }); // MAP_READ | COPY_DST
  gpu.submit(part, "profile", { querySet, first: 0, together });
  const encoder = device.createCommandEncoder({ label: "profile" });
  encoder.resolveQuerySet(querySet, 0, passes * 2, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  return async () => {
    try {
      await staging.mapAsync(0x1);
      const stamps = new BigUint64Array(staging.getMappedRange());
      return Array.from({ length: passes }, (_, i) => Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6);
    } finally {
      for (const object of [querySet, resolved, staging]) object.destroy();
    }
  };
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
