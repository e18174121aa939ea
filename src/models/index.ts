/** The list of models: name to network and regime. Adding one is its file and one entry here. */
import { UsageError } from "../support/errors.ts";
import { AlexNet } from "./alexnet.ts";
import { CifarResNet } from "./cifar-resnet.ts";
import { CifarShallow } from "./cifar-shallow.ts";
import { F1 } from "./f1.ts";
import type { GivenOptions, ImageFacts, ModelEntry } from "./model-entry.ts";
import { PreactivationWideResNet } from "./preactivation-wide-resnet.ts";
import { Vgg } from "./vgg.ts";

const MNIST: ImageFacts = { channels: 1, height: 28, width: 28, classes: 10 };
const CIFAR10: ImageFacts = { channels: 3, height: 32, width: 32, classes: 10 };
const IMAGENET: ImageFacts = { channels: 3, height: 224, width: 224, classes: 1000 };

const onePixel = () => 1;
const shallow = {
  options: ["width", "gamma", "topology"],
  image: CIFAR10,
  normalizedPixels: onePixel,
} as const;

const MODELS: Readonly<Record<string, ModelEntry>> = {
  f1: {
    options: ["width", "hidden", "gamma"],
    regime: "f1",
    image: MNIST,
    normalizedPixels: onePixel,
    create: ({ channels, height, width, classes }, options) =>
      new F1({ ...options, inputs: channels * height * width, classes }),
  },
  // Only these fields of an image: its `width` in pixels must not become a network's `width` in channels.
  c1: { ...shallow, regime: "c1", create: createShallow },
  c3: { ...shallow, regime: "c3", create: createShallow },
  "wrn16-4-preact": {
    options: [],
    regime: "wresnet16-4",
    image: CIFAR10,
    normalizedPixels: afterTwoStrides,
    create: ({ classes, channels }) => new PreactivationWideResNet({ classes, channels }),
  },
  vgg: {
    options: ["width", "hidden"],
    regime: "vgg",
    image: CIFAR10,
    normalizedPixels: onePixel,
    create: ({ classes, channels }, options) => new Vgg({ classes, channels, ...options }),
  },
  alexnet: {
    options: ["width", "gamma"],
    regime: "alexnet",
    image: IMAGENET,
    normalizedPixels: onePixel,
    create: ({ classes, channels }, options) => new AlexNet({ classes, channels, ...options }),
  },
};

function createShallow({ classes, channels }: ImageFacts, options: GivenOptions): CifarShallow {
  return new CifarShallow({ classes, channels, ...options });
}

/** resnet8, resnet20, resnet44, …: any depth 6·n + 2. */
function resnet(depth: number): ModelEntry {
  return {
    options: [],
    regime: "resnet44",
    image: CIFAR10,
    normalizedPixels: afterTwoStrides,
    create: (image) => new CifarResNet({ ...image, depth }),
  };
}

/** wresnet16-4, wresnet10-2, …: depth and widening factor, as the authors released it. */
function wideResnet(depth: number, widen: number): ModelEntry {
  return {
    options: [],
    regime: "wresnet16-4",
    image: CIFAR10,
    normalizedPixels: afterTwoStrides,
    create: (image) => new CifarResNet({ ...image, depth, widen }),
  };
}

/** Pixels in the last stage of a residual network, whose second and third stages halve the height and width. */
function afterTwoStrides({ height, width }: ImageFacts): number {
  return Math.ceil(height / 4) * Math.ceil(width / 4);
}

/** The name of each network, with a description. */
export const MODEL_MEANINGS: Readonly<Record<string, string>> = {
  f1: "five hidden linear layers of 512 units, for MNIST",
  c1: "shallow convolutional network, for CIFAR-10",
  c3: "shallow convolutional network, for CIFAR-100",
  "resnet8, resnet20, resnet44, …":
    "residual network of any depth 6n + 2, for CIFAR; resnet44 is the paper's",
  "wresnet10-2, wresnet16-4, …":
    "wide residual network with a depth and a widening factor, as in the paper's code; wresnet16-4 is the paper's",
  "wrn16-4-preact":
    "wide residual network with batch norm before each convolution, as Zagoruyko and Komodakis (2016) define it",
  vgg: "VGG with batch norm, for CIFAR-10",
  alexnet: "AlexNet with batch norm, for ImageNet",
  "FILE.ts": "your own network: a file whose default export creates it (examples/own-model.ts)",
};

export const MODEL_NAMES = Object.keys(MODEL_MEANINGS).filter((name) => name !== "FILE.ts");

/** Networks from files, keyed by their names in specifications: path, # and hash. */
const OWN = new Map<string, ModelEntry>();

/** Registers a network that is not the paper's. */
export function registerModel(name: string, entry: ModelEntry): void {
  OWN.set(name, entry);
}

/** A network's name for readers and for names of runs: its name in the list, or that of its file. */
export function modelLabel(name: string): string {
  return name.match(/([^/\\]+)\.[cm]?[jt]s(#[0-9a-f]*)?$/)?.[1] ?? name;
}

/** @throws UsageError for a name that is not in the list */
export function modelEntry(name: string): ModelEntry {
  const own = OWN.get(name);
  if (own !== undefined) return own;
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
    throw new UsageError(
      `model: unknown name ${JSON.stringify(name)}; expected one of ${MODEL_NAMES.join(", ")}, or a file FILE.ts`,
    );
  return entry;
}
