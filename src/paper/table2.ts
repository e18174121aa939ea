/**
 * Table 2 of Hoffer et al. 2017: ImageNet top-1 accuracy of AlexNet, large batches of 4096 and 8192. According to a footnote, the
 * LB and +LR columns were run at a batch of 2048 for lack of memory, which is why both rows repeat them.
 */
import { AS_RELEASED, type Row } from "./columns.ts";

export const LARGE_BATCHES = [4096, 8192] as const;
export type LargeBatch = (typeof LARGE_BATCHES)[number];

/** The rows by name, in the paper's order: alexnet-4096, alexnet-8192. */
export const TABLE2_ROWS: Readonly<Record<string, Row>> = Object.fromEntries(
  LARGE_BATCHES.map((large) => [`alexnet-${large}`, alexnetRow(large)]),
);

function alexnetRow(large: LargeBatch): Row {
  const base = { dataset: "imagenet", model: "alexnet", baseRegime: "alexnet" as const, ...AS_RELEASED };
  return {
    network: `AlexNet, batch ${large}`,
    dataset: "ImageNet",
    paper: { SB: 57.1, LB: 41.23, LR: 53.25, GBN: large === 4096 ? 54.92 : 53.93, RA: 59.5 },
    scales: {
      full: { small: 256, large, ghost: 128, warmupSteps: 5 * Math.ceil(1_281_167 / large), base },
      // Sixty-four images from any class folders exercise the whole pipeline, but are too few to learn from. Hidden layers of
      // 256 instead of 4096, so that the weights fit a software adapter too.
      small: {
        small: 4,
        large: large / 128,
        ghost: 4,
        warmupSteps: 1,
        base: {
          ...base,
          width: 256,
          momentumReset: "never",
          epochs: 1,
          subset: { train: 64, test: 32, seed: 0 },
        },
      },
    },
    reduced: "hidden layers of 256, 1 epoch of 64 images: shows that it runs, not how well it learns",
  };
}
