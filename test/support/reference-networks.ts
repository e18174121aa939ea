// The paper's networks in float64, built from test/support/reference-graph.ts. Independent of the engine.

import { randomData } from "../../src/reference/random-data.ts";
import {
  add,
  conv2d,
  type GraphValue,
  ghostBatchNorm,
  globalAvgPool,
  linear,
  type Pass,
  type ReferenceParameter,
  relu,
} from "./reference-graph.ts";

/** A network with its parameters and running statistics, which a training step changes in place. */
export interface ReferenceModel {
  /** Trainable parameters by PyTorch's names, in PyTorch's order. */
  readonly parameters: Map<string, ReferenceParameter>;
  /** Running statistics [C] of each batch norm, by the layer's name (`bn1` has `bn1.running_mean`). */
  readonly running: Map<string, { runningMean: Float64Array; runningVariance: Float64Array }>;
  /** Shape of one sample: [features] or [C, H, W]. */
  readonly inputShape: readonly number[];
  readonly classes: number;
  readonly network: (pass: Pass, x: GraphValue) => GraphValue;
}

/** F1 (Keskar et al. 2017): hidden layers of linear, batch norm and relu, then a linear layer. */
export function createReferenceF1(
  options: { inputs?: number; width: number; hiddenLayers?: number; classes?: number },
  seed: number,
): ReferenceModel {
  const { inputs = 784, width, hiddenLayers = 5, classes = 10 } = options;
  const build = new Builder(seed);
  for (let i = 0; i < hiddenLayers; i++) {
    build.linear(`layers.${3 * i}`, i === 0 ? inputs : width, width);
    build.norm(`layers.${3 * i + 1}`, width);
  }
  build.linear(`layers.${3 * hiddenLayers}`, width, classes);
  const network = (pass: Pass, x: GraphValue) => {
    let h = x;
    for (let i = 0; i < hiddenLayers; i++) {
      h = relu(pass, ghostBatchNorm(pass, linear(pass, h, `layers.${3 * i}`), `layers.${3 * i + 1}`));
    }
    return linear(pass, h, `layers.${3 * hiddenLayers}`);
  };
  return { parameters: build.parameters, running: build.running, inputShape: [inputs], classes, network };
}

/** CIFAR ResNet (He et al. 2016) of depth 6n + 2 with 1×1-convolution shortcuts, of any image size and widths. */
export function createReferenceResNet(
  options: { depth: number; imageSize?: number; widths?: readonly number[]; classes?: number },
  seed: number,
): ReferenceModel {
  const { depth, imageSize = 32, widths = [16, 32, 64], classes = 10 } = options;
  const build = new Builder(seed);
  build.conv("conv1", 3, widths[0], 3);
  build.norm("bn1", widths[0]);
  const blocks: { name: string; stride: number; projects: boolean }[] = [];
  let from = widths[0];
  for (const [stage, to] of widths.entries()) {
    for (let i = 0; i < (depth - 2) / 6; i++) {
      const name = `layer${stage + 1}.${i}`;
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const projects = stride !== 1 || from !== to;
      build.conv(`${name}.conv1`, from, to, 3);
      build.norm(`${name}.bn1`, to);
      build.conv(`${name}.conv2`, to, to, 3);
      build.norm(`${name}.bn2`, to);
      if (projects) {
        build.conv(`${name}.downsample.0`, from, to, 1);
        build.norm(`${name}.downsample.1`, to);
      }
      blocks.push({ name, stride, projects });
      from = to;
    }
  }
  build.linear("fc", from, classes);

  const network = (pass: Pass, x: GraphValue) => {
    let h = relu(pass, ghostBatchNorm(pass, conv2d(pass, x, "conv1", { stride: 1, padding: 1 }), "bn1"));
    for (const { name, stride, projects } of blocks) {
      const first = conv2d(pass, h, `${name}.conv1`, { stride, padding: 1 });
      const middle = relu(pass, ghostBatchNorm(pass, first, `${name}.bn1`));
      const second = conv2d(pass, middle, `${name}.conv2`, { stride: 1, padding: 1 });
      const out = ghostBatchNorm(pass, second, `${name}.bn2`);
      let shortcut = h;
      if (projects) {
        const projected = conv2d(pass, h, `${name}.downsample.0`, { stride, padding: 0 });
        shortcut = ghostBatchNorm(pass, projected, `${name}.downsample.1`);
      }
      h = relu(pass, add(pass, out, shortcut));
    }
    return linear(pass, globalAvgPool(pass, h), "fc");
  };
  const inputShape = [3, imageSize, imageSize];
  return { parameters: build.parameters, running: build.running, inputShape, classes, network };
}

/**
 * Parameters of a network under construction. Values are a generic point, exact in float32: gamma and beta are not
 * the usual 1 and 0, so that no gradient vanishes or agrees by symmetry alone.
 */
class Builder {
  readonly parameters = new Map<string, ReferenceParameter>();
  readonly running: ReferenceModel["running"] = new Map();
  readonly #random: ReturnType<typeof randomData>;

  constructor(seed: number) {
    this.#random = randomData(seed);
  }

  conv(name: string, C: number, K: number, kernel: number): void {
    this.#add(`${name}.weight`, [K, C, kernel, kernel], { deviation: Math.sqrt(2 / (kernel * kernel * K)) });
  }

  linear(name: string, I: number, O: number): void {
    this.#add(`${name}.weight`, [O, I], { deviation: I ** -0.5 });
    this.#add(`${name}.bias`, [O], { deviation: I ** -0.5 });
  }

  norm(name: string, C: number): void {
    this.#add(`${name}.weight`, [C], { mean: 1, deviation: 0.3 });
    this.#add(`${name}.bias`, [C], { deviation: 0.2 });
    this.running.set(name, {
      runningMean: new Float64Array(C),
      runningVariance: new Float64Array(C).fill(1),
    });
  }

  #add(name: string, shape: number[], options: { mean?: number; deviation: number }): void {
    const count = shape.reduce((product, extent) => product * extent, 1);
    this.parameters.set(name, { data: Float64Array.from(this.#random.normals(count, options)), shape });
  }
}
