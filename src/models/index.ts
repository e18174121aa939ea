/** The list of models: name to network and regime. Adding one is its file and one entry here. */
import type { Module } from "../nn/module.ts";
import { UsageError } from "../support/errors.ts";
import { AlexNet } from "./alexnet.ts";
import { CifarResNet } from "./cifar-resnet.ts";
import { CifarShallow } from "./cifar-shallow.ts";
import { F1 } from "./f1.ts";
import { PreactivationWideResNet } from "./preactivation-wide-resnet.ts";
import { Vgg } from "./vgg.ts";

/** What a model must know of the images it classifies. */
export interface ImageFacts {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: number;
}

/** Named choices of a model; each model says which of them it knows. */
export interface ModelOptions {
  /** Units of a hidden layer, or channels of the first convolutions. */
  readonly width?: number | undefined;
  /** Hidden layers, or convolutions of a group of VGG at most. */
  readonly hidden?: number | undefined;
  /** First gamma of batch norm: ones, or U(0, 1) as PyTorch's default was before 1.2. */
  readonly gamma?: "ones" | "uniform" | undefined;
  /** Order of layers of C1 and C3: as released, or Keskar's. */
  readonly topology?: "released" | "keskar" | undefined;
}

interface ModelEntry {
  readonly options: readonly (keyof ModelOptions)[];
  /** Name of the network's own training regime (src/train/base-regimes.ts). */
  readonly regime: "f1" | "c1" | "c3" | "resnet44" | "wresnet16-4" | "vgg" | "alexnet";
  /** The fewest pixels a normalized layer sees of one image: 1 where there is a normalized linear layer. */
  readonly normalizedPixels: (image: ImageFacts) => number;
  create(image: ImageFacts, options: Defined): Module;
}

type Defined = { readonly [K in keyof ModelOptions]?: Exclude<ModelOptions[K], undefined> };

const onePixel = () => 1;
const shallow = { options: ["width", "gamma", "topology"], normalizedPixels: onePixel } as const;

const MODELS: Readonly<Record<string, ModelEntry>> = {
  f1: {
    options: ["width", "hidden", "gamma"],
    regime: "f1",
    normalizedPixels: onePixel,
    create: ({ channels, height, width, classes }, options) =>
      new F1({ ...options, inputs: channels * height * width, classes }),
  },
  // Of an image, only what the networks ask for: its width in pixels is not theirs in channels.
  c1: { ...shallow, regime: "c1", create: createShallow },
  c3: { ...shallow, regime: "c3", create: createShallow },
  "wrn16-4-preact": {
    options: [],
    regime: "wresnet16-4",
    normalizedPixels: afterTwoStrides,
    create: ({ classes, channels }) => new PreactivationWideResNet({ classes, channels }),
  },
  vgg: {
    options: ["width", "hidden"],
    regime: "vgg",
    normalizedPixels: onePixel,
    create: ({ classes, channels }, options) => new Vgg({ classes, channels, ...options }),
  },
  alexnet: {
    options: ["width", "gamma"],
    regime: "alexnet",
    normalizedPixels: onePixel,
    create: ({ classes, channels }, options) => new AlexNet({ classes, channels, ...options }),
  },
};

function createShallow({ classes, channels }: ImageFacts, options: Defined): CifarShallow {
  return new CifarShallow({ classes, channels, ...options });
}

/** resnet8, resnet20, resnet44, …: any depth 6·n + 2. */
function resnet(depth: number): ModelEntry {
  return {
    options: [],
    regime: "resnet44",
    normalizedPixels: afterTwoStrides,
    create: (image) => new CifarResNet({ ...image, depth }),
  };
}

/** wresnet16-4, wresnet10-2, …: depth and factor of the widths, as the authors released it. */
function wideResnet(depth: number, widen: number): ModelEntry {
  return {
    options: [],
    regime: "wresnet16-4",
    normalizedPixels: afterTwoStrides,
    create: (image) => new CifarResNet({ ...image, depth, widen }),
  };
}

/** Pixels of the last stage of a residual network, whose second and third stages halve the sides. */
function afterTwoStrides({ height, width }: ImageFacts): number {
  return Math.ceil(height / 4) * Math.ceil(width / 4);
}

export const MODEL_NAMES = [
  ...Object.keys(MODELS),
  "resnetDEPTH (resnet8, resnet20, resnet44, …)",
  "wresnetDEPTH-WIDTH (wresnet16-4, wresnet10-2, …)",
];

/** @throws UsageError for a name that is not in the list */
export function modelEntry(name: string): ModelEntry {
  const depth = name.match(/^resnet(\d+)$/)?.[1];
  const wide = name.match(/^wresnet(\d+)-(\d+)$/);
  const entry =
    depth !== undefined
      ? resnet(Number(depth))
      : wide
        ? wideResnet(Number(wide[1]), Number(wide[2]))
        : Object.hasOwn(MODELS, name)
          ? MODELS[name]
          : undefined;
  if (!entry)
    throw new UsageError(`model: there is no ${JSON.stringify(name)}; there are ${MODEL_NAMES.join(", ")}`);
  return entry;
}

/** A network without memory yet. @throws UsageError for an unknown name or an option the model does not know */
export function createModel(name: string, image: ImageFacts, options: ModelOptions = {}): Module {
  const entry = modelEntry(name);
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as Defined;
  for (const option of Object.keys(given) as (keyof ModelOptions)[]) {
    if (!entry.options.includes(option)) {
      throw new UsageError(
        `model ${name}: has no option ${option}; it has ${entry.options.join(", ") || "none"}`,
      );
    }
  }
  return entry.create(image, given);
}
