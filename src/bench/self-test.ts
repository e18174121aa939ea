/** A test of about a second that an adapter computes correctly, with the kernel variants that it uses. */
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, record } from "../gpu/recording.ts";
import { runnableVariants } from "../gpu/variant.ts";
import { launchMatmul } from "../kernels/matmul.ts";
import { launchUniform } from "../kernels/random.ts";
import { DeviceError } from "../support/errors.ts";
import { pcg4d, STREAMS, uniform01 } from "../support/random.ts";
import { persistent, readFloats } from "../tensor/tensor.ts";
import { captureCommands } from "./capture.ts";
import { findingsOf, runCommands } from "./check.ts";
import { passesOf } from "./passes/index.ts";

/** The passes on which every network's training step depends; each is run on its first small case. */
const PASSES = [
  "matmul",
  "conv2d/forward",
  "conv2d/grad-input",
  "conv2d/grad-weight",
  "ghost-batch-norm",
  "softmax-cross-entropy",
] as const;

/** Passes with matrix kernels; each is run on its first small case that fills matrices. */
const MATRIX_PASSES = ["matmul", "conv2d/forward", "conv2d/grad-input", "conv2d/grad-weight"] as const;

/** Operations that plain loops of JavaScript do in about 20 ms. */
const REFERENCE_FLOPS = 10e6;

export interface SelfTest {
  /** Number of correct passes. */
  readonly checked: number;
  /** Rate of a matrix product, 10⁹ operations per second. */
  readonly gflops: number;
}

/**
 * Compares random numbers with the CPU's bit for bit and the passes of a training step with float64, and replays a product
 * to measure its rate.
 * @throws DeviceError if the adapter's results are wrong
 */
export async function selfTest(gpu: Gpu): Promise<SelfTest> {
  const passes = passesOf(PASSES);
  await gpu.lifetime(() => checkRandomNumbers(gpu));
  for (const { name, cases } of passes) {
    const one = cases.find(({ flops }) => flops <= REFERENCE_FLOPS)!;
    await gpu.lifetime(async () => {
      const { launch, outputs } = await one.prepare(gpu);
      const commands = captureCommands(gpu, gpu.variant, launch);
      const [finding] = findingsOf(outputs, await runCommands(gpu, commands, outputs));
      if (finding) throw wrong(`${name}, ${gpu.variant} kernels, ${one.label}: ${finding.message}`);
    });
  }
  let checked = passes.length;
  if (runnableVariants(gpu).includes("matrix")) checked += await gpu.lifetime(() => checkMatrices(gpu));
  return { checked, gflops: await gpu.lifetime(() => productRate(gpu)) };
}

/**
 * The matrix kernels, even if the adapter does not use them by default: a run in mixed precision may request them.
 * @returns number of correct passes
 * @throws DeviceError if one is wrong
 */
export async function checkMatrices(gpu: Gpu): Promise<number> {
  const passes = passesOf(MATRIX_PASSES);
  for (const { name, cases } of passes) {
    for (const one of cases.filter(({ flops }) => flops <= REFERENCE_FLOPS)) {
      const { launch, outputs } = await one.prepare(gpu, "f16");
      const commands = captureCommands(gpu, "matrix", launch);
      if (!commands.some(({ kernel }) => /matrix\.wgsl$/.test(kernel.file))) continue;
      const [finding] = findingsOf(outputs, await runCommands(gpu, commands, outputs));
      if (finding) throw wrong(`${name}, matrix kernels, ${one.label}: ${finding.message}`);
      break;
    }
  }
  return passes.length;
}

async function checkRandomNumbers(gpu: Gpu): Promise<void> {
  const count = 1000;
  const random = persistent(gpu, [count]);
  launchUniform(random, { seed: 1, stream: STREAMS.synthetic, tensor: 0 }, { low: 0, high: 1 });
  for (const [index, found] of (await readFloats(random)).entries()) {
    const expected = uniform01(pcg4d(1, STREAMS.synthetic, 0, index)[0]);
    if (found !== expected) throw wrong(`random number ${index} is ${found}, expected ${expected}`);
  }
}

async function productRate(gpu: Gpu): Promise<number> {
  const N = 256; // 34 MFLOP: milliseconds on any adapter
  const [a, b, c] = [persistent(gpu, [N, N]), persistent(gpu, [N, N]), persistent(gpu, [N, N])];
  const product = await record(gpu, new Arena(gpu), "self-test", () => launchMatmul({ a, b, c }));
  product.replay();
  await gpu.settle();
  const repeats = 10;
  const start = performance.now();
  for (let i = 0; i < repeats; i++) product.replay();
  await gpu.settle();
  return (repeats * product.plan.cost.flops) / (performance.now() - start) / 1e6;
}

function wrong(what: string): DeviceError {
  return new DeviceError(
    `self-test: ${what}: the adapter or its driver gives wrong results; try another driver, or set GHOSTBATCH_VARIANT`,
  );
}
