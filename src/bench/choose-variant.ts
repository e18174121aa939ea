/** The short measurement that decides between kernel variants on an adapter that can run several. */
import type { Gpu } from "../gpu/gpu.ts";
import { runnableVariants, type Variant } from "../gpu/variant.ts";
import type { VariantTimes } from "../host/node/variant-choice.ts";
import { launchConv2d } from "../kernels/conv2d.ts";
import { launchMatmul } from "../kernels/matmul.ts";
import { sizeOf } from "../tensor/shape.ts";
import { type FloatType, fromArray, persistent } from "../tensor/tensor.ts";
import { captureCommands } from "./capture.ts";
import { numbers } from "./pass.ts";
import { timeCommand } from "./timing.ts";

/** Samples per kernel, and the time for all of them; variants differ by factors, not by percents. */
const TIMING = { n: 7, budgetMs: 200 };

/** Sum of the median times of a product and a convolution, for each type of activations; null if only one variant can run. */
export async function measureVariants(gpu: Gpu): Promise<VariantTimes | null> {
  if (runnableVariants(gpu).length < 2) return null;
  const SIDE = 256; // 34 MFLOP
  const IMAGES = [8, 16, 16, 16] as const; // 9 MFLOP to 16 channels
  const types: readonly FloatType[] = gpu.device.features.has("shader-f16") ? ["f32", "f16"] : ["f32"];
  return gpu.lifetime(async () => {
    const make = numbers(1);
    const launches = types.map((type) => {
      const activations = (shape: readonly number[]) => fromArray(gpu, make(sizeOf(shape)), shape, "x", type);
      const weights = (shape: readonly number[]) => fromArray(gpu, make(sizeOf(shape)), shape);
      const [a, b] = [activations([SIDE, SIDE]), weights([SIDE, SIDE])];
      const [x, weight] = [activations(IMAGES), weights([16, 16, 3, 3])];
      const c = persistent(gpu, [SIDE, SIDE], { dtype: type });
      const y = persistent(gpu, IMAGES, { dtype: type });
      return () => {
        launchMatmul({ a, b, c });
        launchConv2d({ x, weight, y }, { stride: 1, padding: 1 });
      };
    });
    const times: Partial<Record<Variant, number>> = {};
    for (const variant of runnableVariants(gpu)) {
      const commands = captureCommands(gpu, variant, () => {
        for (const launch of launches) launch();
      });
      let sum = 0;
      for (const command of commands) sum += (await timeCommand(gpu, command, TIMING)).median;
      times[variant] = sum;
    }
    return times;
  });
}
