/** The entries of the list of models. */
import type { Module } from "../nn/module.ts";

/** What a model must know about the images it classifies. */
export interface ImageFacts {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: number;
}

/** Options of models; each model declares which of them it has. */
export interface ModelOptions {
  /** Units of a hidden layer, or channels of the first convolutions. */
  readonly width?: number | undefined;
  /** Hidden layers, or the most convolutions in a group of VGG. */
  readonly hidden?: number | undefined;
  /** Initial gamma of batch norm: ones, or U(0, 1), PyTorch's default before 1.2. */
  readonly gamma?: "ones" | "uniform" | undefined;
  /** Order of layers of C1 and C3: as released, or Keskar's. */
  readonly topology?: "released" | "keskar" | undefined;
}

/** An entry of the list of models. */
export interface ModelEntry {
  readonly options: readonly (keyof ModelOptions)[];
  /** Name of the network's own training regime (src/train/base-regimes.ts). */
  readonly regime: "f1" | "c1" | "c3" | "resnet44" | "wresnet16-4" | "vgg" | "alexnet" | "own";
  /** Shape of the images in the network's usual data set, for a step without data. */
  readonly image: ImageFacts;
  /** The fewest pixels per image at any normalized layer: 1 if a linear layer is normalized. */
  readonly normalizedPixels: (image: ImageFacts) => number;
  create(image: ImageFacts, options: GivenOptions): Module;
}

/** The options that were given. */
export type GivenOptions = { readonly [K in keyof ModelOptions]?: Exclude<ModelOptions[K], undefined> };
