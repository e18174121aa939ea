/** The work on which engines are compared, and this engine's implementation. */
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, record } from "../gpu/recording.ts";
import { launchConv2d, launchConv2dGradInput } from "../kernels/conv2d.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../kernels/conv2d-grad-weight.ts";
import { launchForward, partialsShape } from "../kernels/ghost-batch-norm.ts";
import { launchBackward } from "../kernels/ghost-batch-norm-backward.ts";
import { sumsShape } from "../kernels/ghost-batch-norm-gradients.ts";
import { launchMatmul } from "../kernels/matmul.ts";
import { empty, fromArray, persistent, type Tensor } from "../tensor/tensor.ts";
import { numbers } from "./pass.ts";
import { recordStep } from "./step.ts";

/** bench/peers/*.mjs do the same for each kind. */
export type PeerCase = {
  readonly name: string /** Ratio to the better peer that is aimed at. */;
  readonly target: number;
} & (
  | { readonly kind: "matmul"; readonly size: number }
  | {
      readonly kind: "conv2d";
      readonly batch: number;
      readonly channels: number;
      readonly side: number;
      readonly gradients: boolean;
    }
  | {
      readonly kind: "ghost-batch-norm";
      readonly batch: number;
      readonly ghostSize: number;
      readonly channels: number;
      readonly side: number;
    }
  | { readonly kind: "resnet-step"; readonly depth: number; readonly batch: number }
  | { readonly kind: "f1-step"; readonly batch: number }
);

function convolution(channels: number, side: number, gradients: boolean, target: number): PeerCase {
  const name = `conv 3×3 ${channels}→${channels} at ${side}², N=32${gradients ? ", with both gradients" : ""}`;
  return { name, target, kind: "conv2d", batch: 32, channels, side, gradients };
}

export const PEER_CASES: readonly PeerCase[] = [
  { name: "matmul 512³", target: 3.5, kind: "matmul", size: 512 },
  convolution(16, 32, false, 6),
  convolution(32, 16, false, 4),
  convolution(64, 8, false, 4),
  convolution(16, 32, true, 5),
  convolution(32, 16, true, 4),
  convolution(64, 8, true, 4),
  {
    ...{
      name: "ghost batch norm + relu, forward and backward, N=64, ghost 16, 16 channels at 32²",
      target: 4,
    },
    kind: "ghost-batch-norm",
    batch: 64,
    ghostSize: 16,
    channels: 16,
    side: 32,
  },
  {
    name: "training step, 3-block ResNet 16/32/64, batch 32",
    target: 6,
    kind: "resnet-step",
    depth: 8,
    batch: 32,
  },
  { name: "training step, F1, batch 128", target: 4, kind: "f1-step", batch: 128 },
  { name: "training step, ResNet44, batch 32", target: 6, kind: "resnet-step", depth: 44, batch: 32 },
];

/** A function that runs a case once on this engine and waits until it is done. */
export async function prepareOurs(gpu: Gpu, one: PeerCase): Promise<() => Promise<void>> {
  if (one.kind === "resnet-step" || one.kind === "f1-step") {
    const model = one.kind === "f1-step" ? "f1" : `resnet${one.depth}`;
    const { recording, advance } = await recordStep(gpu, { model, batch: one.batch, ghostSize: one.batch });
    return async () => {
      advance();
      recording.replay();
      await gpu.settle();
    };
  }
  const recording = await record(gpu, new Arena(gpu), one.name, bodyOf(gpu, one));
  return async () => {
    recording.replay();
    await gpu.settle();
  };
}

type KernelCase = Exclude<PeerCase, { kind: "resnet-step" | "f1-step" }>;

function bodyOf(gpu: Gpu, one: KernelCase): () => readonly Tensor[] {
  const make = numbers(1);
  if (one.kind === "matmul") {
    const shape = [one.size, one.size];
    const a = fromArray(gpu, make(one.size ** 2), shape);
    const b = fromArray(gpu, make(one.size ** 2), shape);
    return () => {
      const c = empty(gpu, shape);
      launchMatmul({ a, b, c });
      return [c];
    };
  }
  const { batch, channels, side } = one;
  const shape = [batch, channels, side, side];
  const x = fromArray(gpu, make(batch * channels * side * side), shape);
  const dy = fromArray(gpu, make(batch * channels * side * side), shape);
  return one.kind === "conv2d" ? convolutionBody(gpu, one, x, dy) : normBody(gpu, one, x, dy);
}

function convolutionBody(gpu: Gpu, one: KernelCase & { kind: "conv2d" }, x: Tensor, dy: Tensor) {
  const { channels, gradients } = one;
  const options = { stride: 1, padding: 1 };
  const weight = fromArray(gpu, numbers(2)(9 * channels ** 2), [channels, channels, 3, 3]);
  return () => {
    const y = empty(gpu, x.shape);
    launchConv2d({ x, weight, y }, options);
    if (!gradients) return [y];
    const dx = empty(gpu, x.shape);
    const dweight = empty(gpu, weight.shape);
    const { elements } = gradWeightPartials(x, weight.shape, options);
    launchConv2dGradInput({ dy, weight, dx }, options);
    launchConv2dGradWeight({ x, dy, partials: empty(gpu, [elements]), dweight }, options);
    return [y, dx, dweight];
  };
}

function normBody(gpu: Gpu, one: KernelCase & { kind: "ghost-batch-norm" }, x: Tensor, dy: Tensor) {
  const { batch, ghostSize, channels } = one;
  const ghosts = { ghostSize, ghosts: batch / ghostSize, total: batch, firstGhost: 0 };
  const options = { ghosts, firstChannel: 0, eps: 1e-5, relu: true };
  const gamma = fromArray(gpu, new Float32Array(channels).fill(1));
  const beta = fromArray(gpu, new Float32Array(channels));
  const statistics = persistent(gpu, [ghosts.ghosts, channels, 2]);
  return () => {
    const [y, dx] = [empty(gpu, x.shape), empty(gpu, x.shape)];
    const [dgamma, dbeta] = [empty(gpu, [channels]), empty(gpu, [channels])];
    const scratch = partialsShape(x, ghosts);
    launchForward(
      { x, gamma, beta, statistics, y, ...(scratch && { partials: empty(gpu, scratch) }) },
      options,
    );
    const sums = empty(gpu, sumsShape(x, ghosts));
    const written = { accumulate: false, accumulateParameters: false };
    launchBackward({ x, dy, statistics, gamma, beta, sums, dx, dgamma, dbeta }, { ...options, ...written });
    return [y, dx, dgamma, dbeta];
  };
}
