/** What is known of ImageNet (Russakovsky et al. 2015) without its files. */
import { type DatasetOutline, IMAGENET_NORMALIZATION, NO_AUGMENTATION } from "./dataset.ts";

export interface StreamGeometry {
  /** Pixels of an image's shorter side after scaling. */
  readonly resize: number;
  /** Side of the square crop, pixels. */
  readonly crop: number;
}

/** As in the paper's released code: shorter side 256; a random crop of 224, mirrored half of the time, in training; else the center crop. */
export const IMAGENET_GEOMETRY: StreamGeometry = { resize: 256, crop: 224 };

/** What is known without the files: the ILSVRC 2012 training and validation images. */
export function imagenetFacts({ crop }: StreamGeometry = IMAGENET_GEOMETRY): DatasetOutline {
  return {
    name: "imagenet",
    classes: 1000,
    channels: 3,
    height: crop,
    width: crop,
    classNames: Array.from({ length: 1000 }, (_, label) => `class ${label}`),
    normalization: IMAGENET_NORMALIZATION,
    augmentation: NO_AUGMENTATION,
    trainCount: 1_281_167,
    testCount: 50_000,
  };
}
