import { requireWhole } from "../support/check.ts";
import { UsageError } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import { boundedInteger, pcg4d, STREAMS, type Words } from "../support/random.ts";
import {
  type DatasetOutline,
  type ImageDataset,
  imageBytes,
  NO_AUGMENTATION,
  type Split,
} from "./dataset.ts";

export interface SyntheticOptions {
  readonly classes: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Training samples. */
  readonly train: number;
  /** Test samples. */
  readonly test: number;
  readonly seed: number;
  /** Largest deviation of a byte from its class's pattern. Default 64, as much as the patterns themselves. */
  readonly noise?: number;
}

/** Limit in bytes: the largest binding of most GPUs, which must hold a split. */
const MOST_BYTES = 4 * 2 ** 30;

/** Side of the square blocks of constant brightness in patterns, large enough to survive crops. */
const BLOCK = 4;
/** Brightness of a pattern is 128 ± CONTRAST, uniformly. */
const CONTRAST = 64;

/** What a number is drawn for; different uses draw different numbers. */
const DRAWS = { pattern: 0, trainLabel: 1, trainNoise: 2, testLabel: 3, testNoise: 4 } as const;

type Draw = (typeof DRAWS)[keyof typeof DRAWS];

/**
 * A learnable data set of any shape: each class has a pattern of light and dark blocks, and a sample
 * is its class's pattern plus uniform noise on every byte. A sample depends on the seed, the shape and its position
 * only, not on the number of samples.
 * @throws UsageError for a size that is not a whole number of at least 1
 */
export function syntheticDataset(options: SyntheticOptions): ImageDataset {
  const { trainCount: _, testCount: __, ...facts } = syntheticFacts(options);
  const patterns = Array.from({ length: options.classes }, (_, label) => classPattern(label, options));
  return {
    ...facts,
    train: makeSplit(options.train, { label: DRAWS.trainLabel, noise: DRAWS.trainNoise }, patterns, options),
    test: makeSplit(options.test, { label: DRAWS.testLabel, noise: DRAWS.testNoise }, patterns, options),
  };
}

/** Everything but the images. @throws UsageError as `syntheticDataset` */
export function syntheticFacts(options: SyntheticOptions): DatasetOutline {
  const { classes, channels, height, width, train, test } = options;
  for (const what of ["classes", "channels", "height", "width", "train", "test"] as const) {
    requireWhole(`synthetic data: ${what}`, options[what]);
  }
  // Checked before anything is allocated, including lists of names and statistics of channels.
  const bytes = (train + test + classes) * channels * height * width;
  if (!(bytes <= MOST_BYTES))
    throw new UsageError(
      `synthetic data: ${train + test} images and the patterns of ${classes} classes, ${channels}x${height}x${width} each, need ${formatBytes(bytes)}; at most ${formatBytes(MOST_BYTES)} are allowed`,
    );
  if (classes > 2 ** 16)
    throw new UsageError(`synthetic data: classes: expected at most 65536, got ${classes}`);
  return {
    name: "synthetic",
    classes,
    channels,
    height,
    width,
    classNames: Array.from({ length: classes }, (_, label) => `class ${label}`),
    normalization: { mean: new Array(channels).fill(0.5), standardDeviation: new Array(channels).fill(0.5) },
    augmentation: NO_AUGMENTATION,
    trainCount: train,
    testCount: test,
  };
}

/**
 * Parses "CxHxW:CLASSES[:TRAIN:TEST]"; null means the shape of MNIST, so that its models can
 * be tried without data. 8192 training and 2048 test images by default; the seed is arbitrary and fixed.
 * @throws UsageError for a text of another form
 */
export function syntheticOptions(text: string | null): SyntheticOptions {
  const match = /^(\d+)x(\d+)x(\d+):(\d+)(?::(\d+):(\d+))?$/.exec(text ?? "1x28x28:10");
  if (!match) {
    throw new UsageError(
      `data set synthetic:${text}: expected synthetic:CxHxW:CLASSES or synthetic:CxHxW:CLASSES:TRAIN:TEST, e.g. synthetic:3x32x32:10`,
    );
  }
  const [channels, height, width, classes, train, test] = match
    .slice(1)
    .map((number) => (number === undefined ? undefined : Number(number)));
  return {
    channels: channels!,
    height: height!,
    width: width!,
    classes: classes!,
    train: train ?? 8192,
    test: test ?? 2048,
    seed: 0,
  };
}

/** The noiseless image of a class, [channels, height, width]. */
function classPattern(label: number, { seed, channels, height, width }: SyntheticOptions): Uint8Array {
  const pattern = new Uint8Array(channels * height * width);
  const columns = Math.ceil(width / BLOCK);
  const rows = Math.ceil(height / BLOCK);
  let at = 0;
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const block = (c * rows + Math.floor(y / BLOCK)) * columns + Math.floor(x / BLOCK);
        const [word] = words(seed, DRAWS.pattern, label, block);
        pattern[at++] = 128 - CONTRAST + boundedInteger(word, 2 * CONTRAST);
      }
    }
  }
  return pattern;
}

function makeSplit(
  count: number,
  draws: { label: Draw; noise: Draw },
  patterns: readonly Uint8Array[],
  options: SyntheticOptions,
): Split {
  const { seed, classes, noise = 64 } = options;
  const size = imageBytes(options);
  const images = new Uint8ClampedArray(count * size);
  const labels = classes <= 256 ? new Uint8Array(count) : new Uint16Array(count);
  for (let n = 0; n < count; n++) {
    const label = boundedInteger(words(seed, draws.label, n, 0)[0], classes);
    labels[n] = label;
    for (let i = 0; i < size; i += 4) {
      const four = words(seed, draws.noise, n, i);
      for (let j = i; j < Math.min(i + 4, size); j++) {
        images[n * size + j] = patterns[label][j] + boundedInteger(four[j - i], 2 * noise + 1) - noise;
      }
    }
  }
  return { count, images: new Uint8Array(images.buffer), labels };
}

/** @param b below 2²⁸ */
function words(seed: number, draw: Draw, a: number, b: number): Words {
  return pcg4d(seed, STREAMS.synthetic, a, draw * 2 ** 28 + b);
}
