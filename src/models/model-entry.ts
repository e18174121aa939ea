/** What an entry in the list of models says. */
import type { Module } from "../nn/module.ts";

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

/** What the list of models says of one. */
export interface ModelEntry {
  readonly options: readonly (keyof ModelOptions)[];
  /** Name of the network's own training regime (src/train/base-regimes.ts). */
  readonly regime: "f1" | "c1" | "c3" | "resnet44" | "wresnet16-4" | "vgg" | "alexnet" | "own";
  /** Images like those of the network's own data set, for a step without data. */
  readonly image: ImageFacts;
  /** The fewest pixels a normalized layer sees of one image: 1 where there is a normalized linear layer. */
  readonly normalizedPixels: (image: ImageFacts) => number;
  create(image: ImageFacts, options: GivenOptions): Module;
}

/** Options with those left out that were not given. */
export type GivenOptions = { readonly [K in keyof ModelOptions]?: Exclude<ModelOptions[K], undefined> };
