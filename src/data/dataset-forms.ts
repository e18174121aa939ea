/** The list of data sets: the syntax of each, its options, and what is known of it without its files. */
import { suggestion } from "../support/closest.ts";
import { UsageError } from "../support/errors.ts";
import { CIFAR_LAYOUTS, type CifarLabels, cifarFacts } from "./cifar-layout.ts";
import type { DatasetOutline } from "./dataset.ts";
import {
  choiceOption,
  type DatasetName,
  parseDatasetName,
  requireKnownOptions,
  wholeOption,
} from "./dataset-name.ts";
import { IMAGENET_GEOMETRY, imagenetFacts, type StreamGeometry } from "./imagenet-layout.ts";
import { mnistFacts } from "./mnist-layout.ts";
import { syntheticFacts, syntheticOptions } from "./synthetic.ts";

interface DatasetForm {
  /** Its syntax. */
  readonly form: string;
  readonly about: string;
  /** Its options and their values, for the help. */
  readonly options: Readonly<Record<string, string>>;
  /** Whether it is streamed, i.e. read during training. */
  readonly streamed?: boolean;
  /** Facts about the official data set, for a plan without its files; null if only the files tell. */
  outline(name: DatasetName): DatasetOutline | null;
}

/** The text of a `normalization` option. */
const NORMALIZATION_HELP =
  "released: ImageNet's mean and standard deviation, as in the released code (default); per-channel: those of its training images";

const FORMS = {
  mnist: {
    form: "mnist",
    about:
      "handwritten digits, 28×28 (embedded); training shifts them by up to 2 pixels and mirrors half of them, as the paper's code does",
    options: {},
    outline: mnistFacts,
  },
  cifar10: {
    form: "cifar10",
    about: "CIFAR-10, 32×32 (`ghostbatch data cifar10` fetches it)",
    options: { normalization: NORMALIZATION_HELP },
    outline: () => cifarFacts(CIFAR_LAYOUTS.cifar10),
  },
  cifar100: {
    form: "cifar100",
    about: "CIFAR-100, 32×32 (`ghostbatch data cifar100` fetches it)",
    options: { labels: "fine (default) or coarse", normalization: NORMALIZATION_HELP },
    outline: (name) => cifarFacts(CIFAR_LAYOUTS.cifar100, { labels: labelsOf(name) }),
  },
  folder: {
    form: "folder:PATH",
    about: "JPEG or PNG files in PATH/train/CLASS and PATH/test/CLASS (or val), or in PATH/CLASS",
    options: {
      size: "N or HEIGHTxWIDTH: scale and crop images to this size in pixels (default: their size, if all are the same)",
      test: "fraction of each class to use for testing, if there is no test or val folder",
      seed: "seed of the choice of test images (default: 0)",
      normalization: NORMALIZATION_HELP,
    },
    outline: () => null,
  },
  imagenet: {
    form: "imagenet",
    about: "photographs in DATA-DIR/train/CLASS and DATA-DIR/val/CLASS, read during training",
    options: {
      resize: "pixels of the shorter side after scaling (default: 256)",
      crop: "side of the square crop in pixels (default: 224)",
    },
    streamed: true,
    outline: (name) => imagenetFacts(geometryOf(name)),
  },
  synthetic: {
    form: "synthetic[:CxHxW:CLASSES[:TRAIN:TEST]]",
    about: "generated images with a pattern for each class (default: 1x28x28:10:8192:2048)",
    options: {},
    outline: (name) => syntheticFacts(syntheticOptions(name.argument)),
  },
} as const satisfies Readonly<Record<string, DatasetForm>>;

export type DatasetKey = keyof typeof FORMS;

/** The syntax and a description of each data set. */
export const DATASET_MEANINGS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.values(FORMS).map(({ form, about }) => [form, about]),
);

/** A line for each data set and each of its options. */
export function datasetHelp(): string {
  const lines = Object.values(FORMS).flatMap(({ form, about, options }) => [
    `  ${form}  ${about}`,
    ...Object.entries(options).map(([key, text]) => `      ,${key}=…  ${text}`),
  ]);
  return lines.join("\n");
}

/** Whether a data set is streamed. @throws UsageError for an unknown name */
export function isStreamed(text: string): boolean {
  return formOf(text).form.streamed === true;
}

/** Facts about the official data set, without its files; null for a folder of images. @throws UsageError */
export function outlineDataset(text: string): DatasetOutline | null {
  const { name, form } = formOf(text);
  return form.outline(name);
}

/** The data set that a text names. @throws UsageError for an unknown name or option */
export function formOf(text: string): { name: DatasetName; key: DatasetKey; form: DatasetForm } {
  const name = parseDatasetName(text);
  if (!isKey(name.name)) {
    const known = Object.keys(FORMS);
    throw new UsageError(
      `data set: unknown name ${JSON.stringify(name.name)}: ${suggestion(name.name, known)}`,
    );
  }
  const key = name.name;
  const form: DatasetForm = FORMS[key];
  requireKnownOptions(name, Object.keys(form.options));
  if (name.argument !== null && !form.form.includes(":")) {
    throw new UsageError(`data set ${text}: write ${name.name} without a colon`);
  }
  return { name, key, form };
}

/** The labels of CIFAR-100 that a name asks for. @throws UsageError for any others */
export function labelsOf(name: DatasetName): CifarLabels {
  return choiceOption(name, "labels", ["fine", "coarse"] as const);
}

/** Sizes of streamed photographs. @throws UsageError for anything but whole numbers */
export function geometryOf(name: DatasetName): StreamGeometry {
  return {
    resize: wholeOption(name, "resize", 1) ?? IMAGENET_GEOMETRY.resize,
    crop: wholeOption(name, "crop", 1) ?? IMAGENET_GEOMETRY.crop,
  };
}

function isKey(name: string): name is DatasetKey {
  return Object.hasOwn(FORMS, name);
}
