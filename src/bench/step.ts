/** `bench step`: times one training step of a network: GPU time, encoding time, and where the time goes. */
import { type ResidentDataset, uploadDataset } from "../data/resident.ts";
import { syntheticDataset } from "../data/synthetic.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { DispatchTime } from "../gpu/profiler.ts";
import { Arena, record } from "../gpu/recording.ts";
import { type Roofline, roofline, shareOfRoofline } from "../gpu/roofline.ts";
import { createModel } from "../models/create-model.ts";
import { modelEntry } from "../models/index.ts";
import { materialize } from "../nn/model-state.ts";
import { parameterCount } from "../nn/module.ts";
import { fromArray, persistent } from "../tensor/tensor.ts";
import { partitionBatch } from "../train/ghosts.ts";
import { activationType, lossScaleOf, type Precision, requirePrecision } from "../train/precision.ts";
import { StepUniform } from "../train/step-uniform.ts";
import { gatherTraining, trainingStep } from "../train/training-step.ts";
import { opOf } from "./passes/index.ts";
import { type Summary, summarize } from "./sample.ts";

export interface StepOptions {
  readonly model: string;
  readonly batch: number;
  readonly ghostSize: number;
  /** f32 by default. */
  readonly precision?: Precision;
  /** Number of timed steps. */
  readonly n: number;
}

/** All dispatches of one op in a step. */
export interface OpShare {
  readonly op: string;
  readonly dispatches: number;
  readonly ms: number;
  /** Fraction of the step's GPU time, 0 to 1. */
  readonly share: number;
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
  readonly roofline: number;
}

export interface StepReport extends StepOptions {
  readonly parameters: number;
  readonly dispatches: number;
  /** Bytes that all dispatches read and write. */
  readonly bytes: number;
  readonly flops: number;
  /** Bytes of GPU memory. */
  readonly memoryBytes: number;
  /** Recording and compiling, then the first step, which on some drivers compiles again; ms. */
  readonly recordMs: number;
  readonly firstStepMs: number;
  /** Wall time of a step when several are submitted in sequence, as in training. */
  readonly stepMs: Summary;
  /** Wall time from submitting one step until it is known to be done. */
  readonly latencyMs: Summary;
  /** Sum of the dispatches' own times. */
  readonly gpuMs: Summary;
  /** JavaScript's part of a step: encoding and submitting. */
  readonly encodeMs: Summary;
  readonly encodeMicrosecondsPerDispatch: number;
  readonly teraflopsPerSecond: number;
  readonly imagesPerSecond: number;
  readonly ops: readonly OpShare[];
  /** Times in the median step, in order. */
  readonly timeline: readonly DispatchTime[];
}

/** Steps submitted before waiting for the first: as many as take this long, between 2 and this many. */
const TOGETHER_MS = 100;
const MOST_TOGETHER = 16;

/** @throws UsageError for an unknown model, DeviceError for one that does not fit */
export async function benchStep(gpu: Gpu, options: StepOptions): Promise<StepReport> {
  const limits = await roofline(gpu);
  return gpu.lifetime(async () => {
    const before = gpu.allocatedBytes;
    const began = performance.now();
    const { recording, advance, parameters } = await recordStep(gpu, options);
    const recordMs = performance.now() - began;
    const step = async () => {
      advance();
      const start = performance.now();
      recording.replay();
      const encoded = performance.now();
      await gpu.settle();
      return { encode: encoded - start, whole: performance.now() - start };
    };
    const first = await step();
    const second = await step();

    const encode: number[] = [];
    const latency: number[] = [];
    const whole: number[] = [];
    const together = Math.max(2, Math.min(MOST_TOGETHER, Math.ceil(TOGETHER_MS / second.whole)));
    for (let i = 0; i < options.n; i++) {
      const times = await step();
      encode.push(times.encode);
      latency.push(times.whole);
      const start = performance.now();
      for (let j = 0; j < together; j++) {
        advance();
        recording.replay();
      }
      await gpu.settle();
      whole.push((performance.now() - start) / together);
    }
    const profiles: DispatchTime[][] = [];
    for (let i = 0; i < Math.min(options.n, 5); i++) {
      advance();
      profiles.push(await recording.profile());
    }
    const sums = profiles.map((profile) => profile.reduce((sum, { ms }) => sum + ms, 0));
    const order = sums.map((_, i) => i).sort((a, b) => sums[a]! - sums[b]!);
    const timeline = profiles[order[Math.floor(order.length / 2)]!]!;
    const { dispatches, cost } = recording.plan;
    const stepMs = summarize(whole);
    const latencyMs = summarize(latency);
    const encodeMs = summarize(encode);
    return {
      ...options,
      parameters,
      dispatches,
      bytes: cost.bytes,
      flops: cost.flops,
      memoryBytes: gpu.allocatedBytes - before,
      recordMs,
      firstStepMs: first.whole,
      stepMs,
      latencyMs,
      encodeMs,
      gpuMs: summarize(sums),
      encodeMicrosecondsPerDispatch: (1000 * encodeMs.median) / dispatches,
      teraflopsPerSecond: cost.flops / stepMs.median / 1e9,
      imagesPerSecond: (1000 * options.batch) / stepMs.median,
      ops: sharesOf(timeline, limits),
      timeline,
    };
  });
}

/** The recorded step of a network on synthetic images; `advance` writes the values that change before each replay. */
export async function recordStep(gpu: Gpu, options: Omit<StepOptions, "n">) {
  const { body, step, parameters } = prepareStep(gpu, options);
  const recording = await record(gpu, new Arena(gpu), `step of ${options.model}`, body);
  let steps = 0;
  const still = { learningRate: 1e-3, momentum: 0.9, weightDecay: 1e-4, clipNorm: 5, seed: 1, epoch: 0 };
  const advance = () => step.write({ ...still, step: steps++, firstSample: 0 });
  return { recording, advance, parameters };
}

/** The body that `recordStep` records. */
export function prepareStep(
  gpu: Gpu,
  { model: name, batch, ghostSize, precision = "f32" }: Omit<StepOptions, "n">,
) {
  requirePrecision(gpu, precision);
  const { image, normalizedPixels } = modelEntry(name);
  const model = createModel(name, image);
  const data: ResidentDataset = uploadDataset(
    gpu,
    syntheticDataset({ ...image, train: batch, test: 1, seed: 1 }),
  );
  const pixels = normalizedPixels(image);
  const layout = partitionBatch({ samples: batch, batchSize: batch, ghostSize, policy: "exact", pixels });
  const activations = activationType(precision);
  const state = materialize(gpu, model, { seed: 1, maximumGhosts: layout.ghosts, activations });
  const step = new StepUniform(gpu);
  const order = fromArray(
    gpu,
    Uint32Array.from({ length: batch }, (_, i) => i),
    [batch],
    "order",
  );
  const running = { rule: "mean", momentum: 0.1 } as const;
  const tensors = { order, log: persistent(gpu, [1, 8]), step: step.tensor };
  const input = gatherTraining(state, data, tensors, true);
  const lossScale = precision === "f32" ? 1 : lossScaleOf(batch);
  const body = () => trainingStep(state, tensors, layout, { slabSamples: batch, running, input, lossScale });
  return { body, step, parameters: parameterCount(model) };
}

/** The most expensive op first. */
export function sharesOf(timeline: readonly DispatchTime[], limits: Roofline): OpShare[] {
  const total = timeline.reduce((sum, { ms }) => sum + ms, 0);
  const groups = new Map<string, DispatchTime[]>();
  for (const one of timeline) groups.set(opOf(one.kernel), [...(groups.get(opOf(one.kernel)) ?? []), one]);
  const shares = [...groups].map(([op, dispatches]): OpShare => {
    const ms = dispatches.reduce((sum, one) => sum + one.ms, 0);
    const flops = dispatches.reduce((sum, { cost }) => sum + cost.flops, 0);
    const bytes = dispatches.reduce((sum, { cost }) => sum + cost.bytes, 0);
    const rates = { gflops: flops / ms / 1e6, gigabytesPerSecond: bytes / ms / 1e6 };
    const share = { share: ms / total, roofline: shareOfRoofline({ flops, bytes }, ms, limits) };
    return { op, dispatches: dispatches.length, ms, ...rates, ...share };
  });
  return shares.sort((a, b) => b.ms - a.ms);
}

/**
 * The dispatches of a step in sequence, in Chrome's trace format for chrome://tracing and Perfetto. Times of
 * trace events are in microseconds.
 */
export function chromeTrace(timeline: readonly DispatchTime[], title: string): string {
  let at = 0;
  const events = timeline.map(({ kernel, buffers, workgroups, ms, cost }) => {
    const event = {
      name: kernel.replace(/\.wgsl$/, ""),
      cat: opOf(kernel),
      ph: "X",
      pid: 1,
      tid: 1,
      ts: at,
      dur: 1000 * ms,
      args: {
        buffers,
        grid: workgroups.join(" × "),
        "GFLOP/s": cost.flops / ms / 1e6,
        "GB/s": cost.bytes / ms / 1e6,
      },
    };
    at += 1000 * ms;
    return event;
  });
  const names = [
    { name: "process_name", ph: "M", pid: 1, args: { name: title } },
    { name: "thread_name", ph: "M", pid: 1, tid: 1, args: { name: "GPU" } },
  ];
  return JSON.stringify({ traceEvents: [...names, ...events], displayTimeUnit: "ms" });
}
