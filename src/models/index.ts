/** The list of models: name to network and regime. Adding one is its file and one entry here. */
import type { Module } from "../nn/module.ts";
import { UsageError } from "../support/errors.ts";
import { F1 } from "./f1.ts";

/** What a model must know of the images it classifies. */
export interface ImageFacts {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: number;
}

/** Named choices of a model; each model says which of them it knows. */
export interface ModelOptions {
  /** Units of a hidden layer. */
  readonly width?: number | undefined;
  /** Hidden layers. */
  readonly hidden?: number | undefined;
  /** First gamma of batch norm: ones, or U(0, 1) as PyTorch's default was before 1.2. */
  readonly gamma?: "ones" | "uniform" | undefined;
}

interface ModelEntry {
  readonly options: readonly (keyof ModelOptions)[];
  /** Name of the network's own training regime (src/train/base-regimes.ts). */
  readonly regime: string;
  /** The fewest pixels a normalized layer sees of one image: 1 where there is a normalized linear layer. */
  readonly normalizedPixels: number;
  create(image: ImageFacts, options: ModelOptions): Module;
}

const MODELS: Readonly<Record<string, ModelEntry>> = {
  f1: {
    options: ["width", "hidden", "gamma"],
    regime: "f1",
    normalizedPixels: 1,
    create: ({ channels, height, width, classes }, options) =>
      new F1({ ...defined(options), inputs: channels * height * width, classes }),
  },
};

export const MODEL_NAMES = Object.keys(MODELS);

/** @throws UsageError for a name that is not in the list */
export function modelEntry(name: string): ModelEntry {
  const entry = MODELS[name];
  if (!entry) throw new UsageError(`model: there is no ${JSON.stringify(name)}; there are ${MODEL_NAMES.join(", ")}`);
  return entry;
}

/** A network without memory yet. @throws UsageError for an unknown name or an option the model does not know */
export function createModel(name: string, image: ImageFacts, options: ModelOptions = {}): Module {
  const entry = modelEntry(name);
  for (const option of Object.keys(defined(options)) as (keyof ModelOptions)[]) {
    if (!entry.options.includes(option)) {
      throw new UsageError(`model ${name}: has no option ${option}; it has ${entry.options.join(", ") || "none"}`);
    }
  }
  return entry.create(image, options);
}

function defined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
