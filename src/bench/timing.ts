/** Time of one dispatch: with timestamps around each if the adapter has them, else with batches of dispatches. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { timeDispatches } from "../gpu/profiler.ts";
import { type Summary, summarize } from "./sample.ts";

export interface TimingOptions {
  /** Samples wanted. */
  readonly n: number;
  /** Time for all samples, ms; there are at least 3. */
  readonly budgetMs: number;
}

/** Shortest batch timed by the clock, ms, so that submitting it is negligible. */
const BATCH_MS = 20;

/**
 * Times one command; its pipeline is compiled and warm afterwards.
 * @throws errors of the device, since the times of a rejected dispatch mean nothing
 */
export async function timeCommand(gpu: Gpu, command: Command, options: TimingOptions): Promise<Summary> {
  const prepared = gpu.prepare(command);
  await timeDispatches(gpu, [prepared]); // the first run compiles
  await gpu.settle(); // throws errors of the device
  const start = performance.now();
  const [once] = await timeDispatches(gpu, [prepared]);
  const round = performance.now() - start;
  const count = (ms: number) =>
    Math.max(3, Math.min(options.n, Math.ceil(options.budgetMs / Math.max(ms, 1e-3))));
  if (gpu.device.features.has("timestamp-query")) {
    const times = [once!, ...(await timeDispatches(gpu, new Array(count(round) - 1).fill(prepared)))];
    await gpu.settle();
    // A clock too coarse for the kernel reads 0; many are then timed together, as without timestamps.
    if (Math.min(...times) > 0) return summarize(times);
  }
  const batch = Math.max(1, Math.ceil(BATCH_MS / Math.max(once!, 1e-3)));
  const times: number[] = [];
  for (let i = 0; i < count(Math.max(BATCH_MS, round)); i++) {
    const begin = performance.now();
    gpu.submit(new Array(batch).fill(prepared), "bench");
    await gpu.settle();
    times.push((performance.now() - begin) / batch);
  }
  return summarize(times);
}
