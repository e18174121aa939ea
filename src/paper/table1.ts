/**
 * Table 1 of Hoffer et al. 2017: validation accuracy of the small batch, the large batch, and the large batch with
 * the three remedies added in turn, for six networks.
 */
import { AS_RELEASED, type Base, COLUMNS, type Column, type Row, type Setting } from "./columns.ts";

/** Goyal et al. 2017 warm up for five epochs. */
const WARMUP_EPOCHS = 5;
/** The large batch of the paper's MNIST and CIFAR rows. */
const LARGE = 4096;
/** Training images of CIFAR-10 and CIFAR-100. */
const CIFAR_IMAGES = 50_000;

/** MNIST and CIFAR: the small batch is 128, which follows from the drop in Figure 3 at iteration 31.65k; the large one is 4096. */
function paperSetting(base: Omit<Base, keyof typeof AS_RELEASED>, images = CIFAR_IMAGES): Setting {
  return {
    small: 128,
    large: LARGE,
    ghost: 128,
    warmupSteps: WARMUP_EPOCHS * Math.ceil(images / LARGE),
    base: { ...base, ...AS_RELEASED },
  };
}

/** Like the paper's, with 16 and 128, on few enough images that all five columns take minutes on two CPU cores. */
function smallCifar(train: number, network: Pick<Base, "model" | "width" | "hidden">): Setting {
  const base: Base = {
    dataset: "cifar10",
    subset: { train, test: 500, seed: 0 },
    ...network,
    baseRegime: "cifar-small",
    evaluateEvery: 4, // only the last epoch, because an evaluation costs almost as much as an epoch
    ...AS_RELEASED,
    momentumReset: "never",
  };
  return { small: 16, large: 128, ghost: 16, warmupSteps: 4, base };
}

const percent = (...values: readonly [number, number, number, number, number]) =>
  Object.fromEntries(COLUMNS.map((column, i) => [column, values[i]])) as Record<Column, number>;

export const ROWS: Readonly<Record<string, Row>> = {
  f1: {
    network: "F1",
    dataset: "MNIST",
    paper: percent(98.27, 97.05, 97.55, 97.6, 98.53),
    scales: {
      full: paperSetting({ dataset: "mnist", model: "f1", baseRegime: "f1" }, 60_000),
      // docs/PAPER.md, small scale.
      small: {
        small: 32,
        large: 1024,
        ghost: 32,
        warmupSteps: 10,
        base: {
          dataset: "mnist",
          subset: { train: 4096, test: 5000, seed: 0 },
          augmentation: false,
          model: "f1",
          width: 128,
          hidden: 3,
          baseRegime: "f1-small",
          ...AS_RELEASED,
          momentumReset: "never",
        },
      },
    },
    reduced: "three hidden layers of 128, 4,096 training images, 12 epochs",
  },
  c1: {
    network: "C1",
    dataset: "CIFAR-10",
    paper: percent(87.8, 83.95, 86.15, 86.4, 88.2),
    scales: {
      full: paperSetting({ dataset: "cifar10", model: "c1", baseRegime: "c1" }),
      small: smallCifar(1024, { model: "c1", width: 32 }),
    },
    reduced: "convolutions of 32 channels, 1,024 training images, 4 epochs",
  },
  resnet44: {
    network: "ResNet44",
    dataset: "CIFAR-10",
    paper: percent(92.83, 86.1, 89.3, 90.5, 93.07),
    scales: {
      full: paperSetting({ dataset: "cifar10", model: "resnet44", baseRegime: "resnet44" }),
      small: smallCifar(1024, { model: "resnet8" }),
    },
    reduced: "depth 8, 1,024 training images, 4 epochs",
  },
  vgg: {
    network: "VGG",
    dataset: "CIFAR-10",
    paper: percent(92.3, 84.1, 88.6, 91.5, 93.03),
    scales: {
      full: paperSetting({ dataset: "cifar10", model: "vgg", baseRegime: "vgg" }),
      small: smallCifar(1024, { model: "vgg", width: 32, hidden: 1 }),
    },
    reduced: "half the channels, one convolution in each group, 1,024 training images, 4 epochs",
  },
  c3: {
    network: "C3",
    dataset: "CIFAR-100",
    paper: percent(61.25, 51.5, 57.38, 57.5, 63.2),
    scales: {
      full: paperSetting({ dataset: "cifar100", model: "c3", baseRegime: "c3" }),
      small: smallCifar(1024, { model: "c3", width: 32 }),
    },
    reduced: "convolutions of 32 channels, 1,024 training images, 4 epochs",
  },
  "wresnet16-4": {
    network: "WResNet16-4",
    dataset: "CIFAR-100",
    paper: percent(73.7, 68.15, 69.05, 71.2, 73.57),
    scales: {
      full: paperSetting({ dataset: "cifar100", model: "wresnet16-4", baseRegime: "wresnet16-4" }),
      small: smallCifar(384, { model: "wresnet10-2" }),
    },
    reduced: "depth 10, width factor 2, 384 training images, 4 epochs",
  },
};
