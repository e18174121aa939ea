/** Time of one dispatch: by timestamps around each where the adapter has them, else by batches of dispatches. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { timeDispatches } from "../gpu/profiler.ts";
import { type Summary, summarize } from "./sample.ts";

export interface TimingOptions {
  /** Samples wanted. */
  readonly n: number;
  /** No more samples than fit here, but 3 at least, ms. */
  readonly budgetMs: number;
}

/** A batch that is timed by the clock takes at least this long, so that submitting it does not count, ms. */
const BATCH_MS = 20;

/** Of one command, whose pipeline is compiled and warm afterwards. */
export async function timeCommand(gpu: Gpu, command: Command, options: TimingOptions): Promise<Summary> {
  const prepared = gpu.prepare(command);
  await timeDispatches(gpu, [prepared]); // the first run compiles
  const start = performance.now();
  const [once] = await timeDispatches(gpu, [prepared]);
  const round = performance.now() - start;
  const count = (ms: number) =>
    Math.max(3, Math.min(options.n, Math.ceil(options.budgetMs / Math.max(ms, 1e-3))));
  if (gpu.device.features.has("timestamp-query")) {
    return summarize(await timeDispatches(gpu, new Array(count(round)).fill(prepared)));
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
