/**
 * `bench gbn`: the cost of ghost sizes (Hoffer et al. 2017, Algorithm 1). Each
 * element of a batch is normalized once whatever the ghost size; what changes is the number of groups to reduce, their
 * size, and the number of dispatches.
 *
 *   unfused     statistics, normalize, relu; relu's gradient, gradient sums, input gradient: each a pass over memory
 *   fused       relu within normalize and within the gradients; layers without pixels in one pass
 *   sequential  the fused kernels once for each ghost, as implementations that loop over chunks do
 */
import type { Command, PreparedCommand } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Cost } from "../gpu/kernel.ts";
import { hasTimestamps, timeTogether } from "../gpu/profiler.ts";
import { attainableMs, copyCommand, type Roofline, roofline } from "../gpu/roofline.ts";
import { launchRelu, launchReluGrad } from "../kernels/elementwise.ts";
import {
  launchForward,
  launchNormalize,
  launchStatistics,
  partialsShape,
} from "../kernels/ghost-batch-norm.ts";
import { launchBackward, launchGradParameters } from "../kernels/ghost-batch-norm-backward.ts";
import { launchGradInput, launchGradStatistics, sumsShape } from "../kernels/ghost-batch-norm-gradients.ts";
import { empty, fromArray, persistent, slice, type Tensor } from "../tensor/tensor.ts";
import { captureCommands } from "./capture.ts";
import { numbers } from "./pass.ts";
import { type Summary, summarize } from "./sample.ts";

export const GHOST_VARIANTS = ["unfused", "fused", "sequential"] as const;
export type GhostVariant = (typeof GHOST_VARIANTS)[number];
/** The baseline of the variants: a kernel that copies a tensor of the layer's size. */
export const COPY = "copy";

/** C, H, W of the three stages of the CIFAR residual networks and of F1's layers. */
export const GHOST_SHAPES: readonly (readonly [number, number, number])[] = [
  [16, 32, 32],
  [32, 16, 16],
  [64, 8, 8],
  [512, 1, 1],
];

export interface GhostRow {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly batch: number;
  /** For the copy, the batch. */
  readonly ghostSize: number;
  readonly variant: GhostVariant | typeof COPY;
  /** For the copy, forward; it counts for both. */
  readonly direction: "forward" | "backward";
  readonly dispatches: number;
  /** Bytes that the dispatches read and write, each tensor once per pass. */
  readonly bytes: number;
  readonly bytesPerElement: number;
  /** Time of the whole pass, ms: by the GPU's clock if it has timestamps, else averaged over many in one submission. */
  readonly ms: Summary;
  /** Lower bound from the roofline and the time of an empty dispatch, ms. */
  readonly modelMs: number;
  readonly gigabytesPerSecond: number;
  /** Fraction of the bandwidth of a copy kernel on the same tensor, timed in the same rounds. */
  readonly copyShare: number;
}

export interface GhostCostOptions {
  readonly batch: number;
  readonly shapes: readonly (readonly [number, number, number])[];
  readonly ghostSizes: readonly number[];
  readonly n: number;
}

/** 8, 16, … up to the batch. */
export function ghostSizesUpTo(batch: number): number[] {
  const sizes: number[] = [];
  for (let size = 8; size <= batch; size *= 2) sizes.push(size);
  return sizes;
}

const EPS = 1e-5; // PyTorch's default, the authors'

/** All rows of a shape at a time. Variants and ghost sizes are timed in turns, so that disturbances affect all alike. */
export async function* benchGhostCost(gpu: Gpu, options: GhostCostOptions): AsyncGenerator<GhostRow[]> {
  const limits = await roofline(gpu);
  const emptyMs = await emptyDispatch(gpu);
  for (const shape of options.shapes) {
    yield await gpu.lifetime(() => benchShape(gpu, shape, options, { limits, emptyMs }));
  }
}

interface Prepared {
  readonly ghostSize: number;
  readonly variant: GhostRow["variant"];
  readonly direction: "forward" | "backward";
  readonly commands: readonly Command[];
  readonly times: number[];
  run(): Promise<number>;
}

async function benchShape(
  gpu: Gpu,
  [C, H, W]: readonly [number, number, number],
  { batch, ghostSizes, n }: GhostCostOptions,
  { limits, emptyMs }: { limits: Roofline; emptyMs: number },
): Promise<GhostRow[]> {
  const layer = ghostLayer(gpu, batch, [C, H, W]);
  const all: Prepared[] = [];
  for (const ghostSize of ghostSizes) {
    const statistics = persistent(gpu, [batch / ghostSize, C, 2], { label: "statistics" });
    for (const variant of GHOST_VARIANTS) {
      for (const direction of ["forward", "backward"] as const) {
        const launch = () => GHOST_LAUNCHES[variant][direction](layer, statistics, ghostSize);
        const commands = captureCommands(gpu, gpu.variant, launch);
        // Forward before backward, which reads its statistics.
        const run = await timerOf(gpu, commands);
        all.push({ ghostSize, variant, direction, commands, times: [], run });
      }
    }
  }
  const copying = [copyCommand(gpu, layer.x, layer.scratch)];
  const copy: Prepared = {
    ...{ ghostSize: batch, variant: COPY, direction: "forward", commands: copying, times: [] },
    run: await timerOf(gpu, copying),
  };
  all.unshift(copy);
  for (let round = 0; round < n; round++) for (const one of all) one.times.push(await one.run());
  const copyRate = total(copying).bytes / summarize(copy.times).median;
  return all.map(({ ghostSize, variant, direction, commands, times }) => {
    const cost = total(commands);
    const ms = summarize(times);
    return {
      ...{ channels: C, height: H, width: W, batch, ghostSize, variant, direction },
      dispatches: commands.length,
      bytes: cost.bytes,
      bytesPerElement: cost.bytes / layer.x.size,
      ms,
      modelMs: attainableMs(cost, limits) + commands.length * emptyMs,
      gigabytesPerSecond: cost.bytes / ms.median / 1e6,
      copyShare: cost.bytes / ms.median / copyRate,
    };
  });
}

/** Shortest submission timed by the clock, ms, so that the latency of submitting is negligible. */
const SUBMISSION_MS = 20;

/** A function that measures the time of the commands, ms; they are compiled and warm. */
async function timerOf(gpu: Gpu, commands: readonly Command[]): Promise<() => Promise<number>> {
  const ready = commands.map((command) => gpu.prepare(command));
  const timeOf = async (submitted: readonly PreparedCommand[]) => {
    const start = performance.now();
    gpu.submit(submitted, "pass");
    await gpu.settle();
    return performance.now() - start;
  };
  await timeOf(ready); // the first run compiles on some drivers
  if (hasTimestamps(gpu)) return () => timeTogether(gpu, ready);
  const passes = Math.max(1, Math.ceil(SUBMISSION_MS / (await timeOf(ready))));
  const together = Array.from({ length: passes }, () => ready).flat();
  return async () => (await timeOf(together)) / passes;
}

/** "16×32×32" */
export function shapeText({
  channels,
  height,
  width,
}: Pick<GhostRow, "channels" | "height" | "width">): string {
  return `${channels}×${height}×${width}`;
}

export interface Layer {
  readonly x: Tensor;
  readonly dy: Tensor;
  readonly y: Tensor;
  readonly dx: Tensor;
  /** Tensors between the passes of the unfused variant. */
  readonly scratch: Tensor;
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly dgamma: Tensor;
  readonly dbeta: Tensor;
}

/** A layer of `batch` samples with random values. */
export function ghostLayer(gpu: Gpu, batch: number, [C, H, W]: readonly [number, number, number]): Layer {
  const make = numbers(C);
  const shape = H * W === 1 ? [batch, C] : [batch, C, H, W];
  const place = (name: string) => fromArray(gpu, make(batch * C * H * W), shape, name);
  return {
    x: place("x"),
    dy: place("dy"),
    y: persistent(gpu, shape, { label: "y" }),
    dx: persistent(gpu, shape, { label: "dx" }),
    scratch: persistent(gpu, shape, { label: "scratch" }),
    gamma: fromArray(gpu, make(C, { mean: 1, deviation: 0.3 }), [C], "gamma"),
    beta: fromArray(gpu, make(C), [C], "beta"),
    dgamma: persistent(gpu, [C], { label: "dgamma" }),
    dbeta: persistent(gpu, [C], { label: "dbeta" }),
  };
}

type Launch = (layer: Layer, statistics: Tensor, ghostSize: number) => void;

function place(x: Tensor, ghostSize: number, relu: boolean, firstGhost = 0) {
  const total = x.shape[0]!;
  const ghosts = { ghostSize, ghosts: total / ghostSize, total, firstGhost };
  return { ghosts, firstChannel: 0, eps: EPS, relu };
}

const written = { accumulate: false, accumulateParameters: false };

function forwardFused(layer: Layer, statistics: Tensor, ghostSize: number, firstGhost = 0): void {
  const options = place(layer.x, ghostSize, true, firstGhost);
  const scratch = partialsShape(layer.x, options.ghosts);
  const partials = scratch ? { partials: empty(layer.x.gpu, scratch) } : {};
  launchForward({ ...layer, statistics, ...partials }, options);
}

function backwardFused(layer: Layer, statistics: Tensor, ghostSize: number, firstGhost = 0): void {
  const options = place(layer.x, ghostSize, true, firstGhost);
  const sums = empty(layer.x.gpu, sumsShape(layer.x, options.ghosts));
  launchBackward(
    { ...layer, statistics, sums },
    { ...options, ...written, accumulateParameters: firstGhost > 0 },
  );
}

/** One ghost after another, each with its own kernels. */
function oneByOne(body: typeof forwardFused): Launch {
  return (layer, statistics, ghostSize) => {
    const values = layer.x.size / layer.x.shape[0]!;
    for (let ghost = 0; ghost * ghostSize < layer.x.shape[0]!; ghost++) {
      const shape = [ghostSize, ...layer.x.shape.slice(1)];
      const cut = (tensor: Tensor) => slice(tensor, ghost * ghostSize * values, shape);
      const { x, dy, y, dx } = layer;
      body({ ...layer, x: cut(x), dy: cut(dy), y: cut(y), dx: cut(dx) }, statistics, ghostSize, ghost);
    }
  };
}

/** The passes of each variant. */
export const GHOST_LAUNCHES: Record<GhostVariant, { forward: Launch; backward: Launch }> = {
  unfused: {
    forward: (layer, statistics, ghostSize) => {
      const options = place(layer.x, ghostSize, false);
      launchStatistics({ ...layer, statistics }, options);
      launchNormalize({ ...layer, statistics, y: layer.scratch }, options);
      launchRelu({ x: layer.scratch, y: layer.y });
    },
    backward: (layer, statistics, ghostSize) => {
      const options = place(layer.x, ghostSize, false);
      const dy = layer.scratch;
      const sums = empty(layer.x.gpu, sumsShape(layer.x, options.ghosts));
      launchReluGrad({ y: layer.y, dy: layer.dy, dx: dy }, { accumulate: false });
      // `y` would be interpreted as the output of a fused residual sum.
      const { y: _, ...rest } = layer;
      launchGradStatistics({ ...rest, dy, statistics, sums }, options);
      launchGradInput({ ...rest, dy, statistics, sums }, { ...options, ...written });
      launchGradParameters({ ...rest, sums }, written, "pairs");
    },
  },
  fused: { forward: forwardFused, backward: backwardFused },
  sequential: { forward: oneByOne(forwardFused), backward: oneByOne(backwardFused) },
};

function total(commands: readonly Command[]): Cost {
  return commands.reduce(
    ({ flops, bytes }, { launch }) => ({
      flops: flops + launch.cost.flops,
      bytes: bytes + launch.cost.bytes,
    }),
    { flops: 0, bytes: 0 },
  );
}

/** Cost of a nearly empty dispatch within one submission, ms. */
async function emptyDispatch(gpu: Gpu): Promise<number> {
  const DISPATCHES = 64;
  const x = fromArray(gpu, new Float32Array(64), [64]);
  const [command] = captureCommands(gpu, gpu.variant, () => launchRelu({ x, y: persistent(gpu, [64]) }));
  const run = await timerOf(gpu, new Array<Command>(DISPATCHES).fill(command!));
  const time = async () => (await run()) / DISPATCHES;
  await time();
  return Math.min(await time(), await time(), await time());
}
