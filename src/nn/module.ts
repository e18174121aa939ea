/**
 * Modules own parameters; a model is a module of modules. Parameters are found by walking properties in the order
 * in which the constructor sets them, so nothing is registered, and a path of property names is PyTorch's name.
 */
import type { Ghosts } from "../kernels/ghost-batch-norm.ts";
import type { RandomKey } from "../kernels/random.ts";
import { relu } from "../ops/relu.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModuleState } from "./norm-state.ts";

/** How a batch goes through a model. */
export type Mode =
  | {
      readonly kind: "train";
      /** The ghost batches of the slab, and the position of its first one in the batch. */
      readonly ghosts: Ghosts & { readonly firstGhost: number };
      /** Position of the slab's first sample in the batch. */
      readonly firstSample: number;
      /** The Step uniform. */
      readonly step: Tensor;
    }
  | { readonly kind: "eval" };

/** Fills a parameter with its initial values. */
export type Initializer = (value: Tensor, key: RandomKey) => void;

/** A trainable tensor. Its memory, a part of the flat parameters, is assigned when the model is materialized. */
export class Parameter {
  readonly shape: readonly number[];
  readonly initialize: Initializer;
  #value: Tensor | null = null;

  constructor(shape: readonly number[], initialize: Initializer) {
    this.shape = shape;
    this.initialize = initialize;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get value(): Tensor {
    if (!this.#value) throw new Error("this parameter has no memory yet: materialize the model first");
    return this.#value;
  }

  place(value: Tensor): void {
    this.#value = value;
  }
}

export interface ReluOptions {
  /** Applies a ReLU last, in the same kernel. */
  readonly relu?: boolean;
}

export abstract class Module {
  /** Whether `forward` takes `relu`: the kernel then applies the ReLU that follows. */
  readonly appliesRelu: boolean = false;

  /** State beside its parameters; `materialize` assigns its memory. */
  get state(): ModuleState | null {
    return null;
  }

  abstract forward(x: Tensor, mode: Mode, options?: ReluOptions): Tensor;
}

/** Every module under `root`, itself included, with its path. */
export function namedModules(root: Module, path = ""): [string, Module][] {
  const found: [string, Module][] = [[path, root]];
  for (const [name, value] of Object.entries(root)) {
    const children = Array.isArray(value) ? value.entries() : [[null, value] as const];
    for (const [index, child] of children) {
      if (!(child instanceof Module)) continue;
      const step = index === null ? name : root instanceof Sequential ? `${index}` : `${name}.${index}`;
      found.push(...namedModules(child, path === "" ? step : `${path}.${step}`));
    }
  }
  return found;
}

/** Every parameter under `root` with its path, in order. */
export function namedParameters(root: Module): [string, Parameter][] {
  return namedModules(root).flatMap(([path, module]) =>
    Object.entries(module)
      .filter((entry): entry is [string, Parameter] => entry[1] instanceof Parameter)
      .map(([name, parameter]): [string, Parameter] => [path === "" ? name : `${path}.${name}`, parameter]),
  );
}

/** Number of trainable values of a model. */
export function parameterCount(root: Module): number {
  return namedParameters(root).reduce((sum, [, parameter]) => sum + parameter.size, 0);
}

/** y = max(x, 0). */
export class Relu extends Module {
  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** Modules in sequence, named 0, 1, … as in PyTorch. A batch norm applies the ReLU that follows it. */
export class Sequential extends Module {
  readonly modules: readonly Module[];

  constructor(modules: readonly Module[]) {
    super();
    this.modules = modules;
  }

  forward(x: Tensor, mode: Mode): Tensor {
    let h = x;
    for (const [at, module] of this.modules.entries()) {
      if (module instanceof Relu && this.modules[at - 1]?.appliesRelu) continue;
      const relu = module.appliesRelu && this.modules[at + 1] instanceof Relu;
      h = module.forward(h, mode, { relu });
    }
    return h;
  }
}
