/** The one short measurement that decides between kernel variants on an adapter that can run both. */
import type { Gpu } from "../gpu/gpu.ts";
import { runnableVariants, type Variant } from "../gpu/variant.ts";
import type { VariantTimes } from "../host/node/variant-choice.ts";
import { launchConv2d } from "../kernels/conv2d.ts";
import { launchMatmul } from "../kernels/matmul.ts";
import { fromArray, persistent } from "../tensor/tensor.ts";
import { captureCommands } from "./capture.ts";
import { numbers } from "./pass.ts";
import { timeCommand } from "./timing.ts";

/** Samples of a kernel, and the time for all of them: the variants differ by factors, not by percents. */
const TIMING = { n: 7, budgetMs: 200 };

/** Medians of a product and a convolution, added up; null where only one variant can run. */
export async function measureVariants(gpu: Gpu): Promise<VariantTimes | null> {
  if (runnableVariants(gpu).length < 2) return null;
  const SIDE = 256; // 34 MFLOP
  const IMAGES = [8, 16, 16, 16] as const; // 9 MFLOP to 16 channels
  return gpu.lifetime(async () => {
    const make = numbers(1);
    const square = () => fromArray(gpu, make(SIDE ** 2), [SIDE, SIDE]);
    const [a, b, c] = [square(), square(), persistent(gpu, [SIDE, SIDE])];
    const x = fromArray(gpu, make(8 * 16 ** 3), IMAGES);
    const weight = fromArray(gpu, make(16 * 16 * 9), [16, 16, 3, 3]);
    const y = persistent(gpu, IMAGES);
    const timesOf = async (variant: Variant) => {
      const commands = captureCommands(gpu, variant, () => {
        launchMatmul({ a, b, c });
        launchConv2d({ x, weight, y }, { stride: 1, padding: 1 });
      });
      let sum = 0;
      for (const command of commands) sum += (await timeCommand(gpu, command, TIMING)).median;
      return sum;
    };
    return { narrow: await timesOf("narrow"), wide: await timesOf("wide") };
  });
}
