/**
 * Times every dispatch of a step, with timestamp queries if the adapter has them, else by waiting for each; in that case
 * nothing else may be submitted until the times arrive.
 */
import type { Command, PreparedCommand } from "./command.ts";
import type { Gpu } from "./gpu.ts";
import type { Cost } from "./kernel.ts";
import type { BufferView } from "./storage.ts";

/** Description and time of a dispatch. */
export interface DispatchDescription {
  readonly kernel: string;
  /** Its buffers with their shapes: "x [32, 16, 32, 32]". */
  readonly buffers: readonly string[];
  readonly workgroups: readonly [number, number, number];
  readonly cost: Cost;
}

export interface DispatchTime extends DispatchDescription {
  readonly ms: number;
}

/** Queries in one set, WebGPU's limit. A dispatch takes two. */
const QUERIES = 4096;

/** Runs the commands in order, each in its own compute pass, and returns their times in ms. */
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

/** Only the times, ms. @throws errors of the device, since the times of a rejected dispatch mean nothing */
export async function timeDispatches(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  const times = await (hasTimestamps(gpu) ? byTimestamps(gpu, prepared) : byWaiting(gpu, prepared));
  gpu.failures.throwKnown();
  return times;
}

/** Whether times are taken without waiting. If so, all commands are submitted when `timeDispatches` returns. */
export function hasTimestamps(gpu: Gpu): boolean {
  return gpu.device.features.has("timestamp-query");
}

/** Shape of a tensor; element count of a plain range of memory. */
function shapeOf(view: BufferView & { readonly shape?: readonly number[] }): string {
  return (view.shape ?? [view.byteLength / 4]).join(", ");
}

/** Everything is submitted before the first await, so what the caller writes or submits next comes after it. */
async function byTimestamps(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number[]> {
  const parts: (() => Promise<number[]>)[] = [];
  for (let start = 0; start < prepared.length; start += QUERIES / 2)
    parts.push(submitTimed(gpu, prepared.slice(start, start + QUERIES / 2)));
  const times: number[] = [];
  for (const read of parts) times.push(...(await read()));
  return times;
}

/**
 * Time of several commands in one compute pass, as a step runs them, ms.
 * @throws WebGPU's error if the adapter has no timestamps (see `hasTimestamps`)
 */
export async function timeTogether(gpu: Gpu, prepared: readonly PreparedCommand[]): Promise<number> {
  const [ms] = await submitTimed(gpu, prepared, true)();
  return ms!;
}

/** Submits the commands of one query set. The returned function waits for their times. */
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
