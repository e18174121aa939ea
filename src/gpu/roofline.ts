/**
 * The adapter's peak rates, measured: bandwidth with a copy kernel, arithmetic with chains of multiply-adds
 * (Williams, Waterman and Patterson 2009). Times elsewhere are given as a share of them.
 */
import { DeviceError } from "../support/errors.ts";
import type { Command } from "./command.ts";
import type { Gpu } from "./gpu.ts";
import { type Cost, defineKernel } from "./kernel.ts";
import { timeDispatches } from "./profiler.ts";
import { type BufferView, Storage } from "./storage.ts";

const COPY = defineKernel({
  file: "bench/copy.wgsl",
  bindings: ["x", "y"],
  params: ["count"],
  spec: ["WG_SIZE", "ROW"],
});
const MULTIPLY_ADD = defineKernel({
  file: "bench/multiply-add.wgsl",
  bindings: ["x", "y"],
  params: ["iterations"],
});

export interface Roofline {
  /** Bytes read and written by a copy, per second. */
  readonly bytesPerSecond: number;
  /** Floating-point operations in registers per second; a multiply-add is 2. */
  readonly flopsPerSecond: number;
}

/** The fraction of a time that memory traffic and arithmetic need at least. The larger one is the share of the roofline. */
export function shareOfRoofline(cost: Cost, ms: number, roofline: Roofline): number {
  return attainableMs(cost, roofline) / ms;
}

/** The shortest time that the roofline allows, ms. */
export function attainableMs({ flops, bytes }: Cost, roofline: Roofline): number {
  return 1000 * Math.max(flops / roofline.flopsPerSecond, bytes / roofline.bytesPerSecond);
}

const LANES = 64;
/** The fastest way to copy. On lavapipe, one subgroup with 8 vec4s per lane reaches 9.9 GB/s; 64 lanes with one each, 7.5. */
const COPIES = { narrow: { WG_SIZE: 8, ROW: 8 }, wide: { WG_SIZE: 64, ROW: 1 } };
/** Operations of one lane in one iteration of multiply-add.wgsl: 4 times 8 chains of vec4, 2 operations each. */
const FLOPS_PER_ITERATION = 256;
/** Number of measurements, of which the best counts: a peak is what the machine can do with nothing else running. */
const REPEATS = 9;

const measured = new WeakMap<Gpu, Promise<Roofline>>();

/** Measured once per Gpu; takes about 100 ms. */
export function roofline(gpu: Gpu): Promise<Roofline> {
  let result = measured.get(gpu);
  if (!result) {
    result = measure(gpu);
    measured.set(gpu, result);
  }
  return result;
}

async function measure(gpu: Gpu): Promise<Roofline> {
  const { software } = gpu.adapter;
  // Larger than the caches of either kind of machine: 256 MiB each way on a GPU, 16 MiB on a CPU.
  const largest = gpu.device.limits.maxStorageBufferBindingSize;
  const bytes = Math.min(software ? 2 ** 24 : 2 ** 28, 2 ** Math.floor(Math.log2(largest)));
  const lanes = software ? 2 ** 13 : 2 ** 20;
  const iterations = software ? 128 : 512;
  const x = memory(gpu, bytes);
  const y = memory(gpu, bytes);
  try {
    gpu.write(view(x, 32), new Float32Array([0.5, 0.5, 0.5, 0.5, 1, 1, 1, 1])); // a → 2: finite for ever
    const copying = await best(gpu, copyCommand(gpu, view(x, bytes), view(y, bytes)));
    const flops = FLOPS_PER_ITERATION * lanes * iterations;
    const adding = await best(gpu, {
      kernel: MULTIPLY_ADD,
      launch: {
        buffers: { x: view(x, 32), y: view(y, 16 * lanes) },
        params: { iterations },
        workgroups: [lanes / LANES],
        cost: { flops, bytes: 16 * lanes },
      },
    });
    return {
      bytesPerSecond: (2 * bytes) / (copying / 1000),
      flopsPerSecond: flops / (adding / 1000),
    };
  } finally {
    x.buffer?.destroy();
    y.buffer?.destroy();
  }
}

/** A copy of `x` to `y`, of the same length: the best possible time of a kernel that reads and writes as much. */
export function copyCommand(gpu: Gpu, x: BufferView, y: BufferView): Command {
  const count = Math.floor(x.byteLength / 16);
  const spec = COPIES[gpu.baseVariant];
  const workgroups = Math.ceil(count / (spec.WG_SIZE * spec.ROW));
  const side = Math.min(workgroups, 2 ** 15); // below WebGPU's limit of 65,535
  return {
    kernel: COPY,
    launch: {
      buffers: { x, y },
      params: { count },
      spec,
      workgroups: [side, Math.ceil(workgroups / side)],
      cost: { flops: 0, bytes: 2 * x.byteLength },
    },
  };
}

async function best(gpu: Gpu, command: Command): Promise<number> {
  const prepared = gpu.prepare(command);
  await timeDispatches(gpu, [prepared]); // compiles
  const times = await timeDispatches(gpu, new Array(REPEATS).fill(prepared));
  const least = Math.min(...times.filter((ms) => ms > 0));
  if (!Number.isFinite(least)) {
    throw new DeviceError(`${command.kernel.file}: ${gpu.adapter.name} measured no time for it`);
  }
  return least;
}

/** Outside every scope, lifetime and recording, since a measurement may happen inside any of them. */
function memory(gpu: Gpu, bytes: number): Storage {
  const usage = 0x80 | 0x4 | 0x8; // STORAGE | COPY_SRC | COPY_DST
  const buffer = gpu.device.createBuffer({ size: bytes, usage, label: "roofline" });
  return new Storage(gpu.device, { bytes, label: "roofline", buffer });
}

function view(storage: Storage, byteLength: number): BufferView {
  return { storage, byteOffset: 0, byteLength };
}
