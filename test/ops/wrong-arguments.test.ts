// What the library refuses, in one line each: arguments with which a kernel would compute nonsense without a sign.

import { beforeAll, describe, expect, test } from "vitest";
import { syntheticDataset } from "../../src/data/synthetic.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import {
  add,
  addChannelBias,
  affineNorm,
  avgPool2d,
  conv2d,
  differentiable,
  dropout,
  empty,
  flatten,
  fromArray,
  type GhostBatchNormOptions,
  GhostbatchError,
  type Gpu,
  ghostBatchNorm,
  globalAvgPool,
  type ImageDataset,
  l2Distance,
  linear,
  maxPool2d,
  persistent,
  relu,
  type Split,
  softmaxCrossEntropy,
  Tape,
  type Tensor,
  uploadDataset,
  view,
} from "../../src/index.ts";
import type { NumberArray } from "../../src/tensor/tensor.ts";
import { intermediate } from "../support/op-run.ts";

let gpu: Gpu;
let other: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  other = await openGpu();
  return () => [gpu, other].forEach((one) => void one.close());
});

const f32 = (...shape: number[]) => persistent(gpu, shape, { label: "t" });
const f16 = (...shape: number[]) => persistent(gpu, shape, { dtype: "f16", label: "t" });
const u32 = (...shape: number[]) => persistent(gpu, shape, { dtype: "u32", label: "t" });
const step = () => persistent(gpu, [8], { usage: "uniform" });
const image = () => f32(4, 2, 4, 4);
const pixel = { stride: 1, padding: 0 };

const GHOSTS = { ghostSize: 2, ghosts: 2, total: 4, firstGhost: 0 };
function norm(wrong: Partial<GhostBatchNormOptions> & { gamma?: Tensor; ghost?: object }): Tensor {
  const { gamma = f32(2), ghost, ...options } = wrong;
  const usual = { statistics: f32(2, 2, 2), firstChannel: 0, eps: 1e-5, ghosts: { ...GHOSTS, ...ghost } };
  return ghostBatchNorm(image(), gamma, f32(2), { ...usual, ...options });
}
function evaluated(wrong: { runningMean?: Tensor; firstChannel?: number; eps?: number; x?: Tensor }): Tensor {
  const usual = { runningMean: f32(2), runningVariance: f32(2), firstChannel: 0, eps: 1e-5 };
  return affineNorm(wrong.x ?? image(), f32(2), f32(2), { ...usual, ...wrong });
}
const dropped = (probability: number, firstSample = 0) =>
  dropout(image(), step(), { probability, layer: 0, firstSample });
const loss = (labels: Tensor, lastStart = 4, weight = 0.25) =>
  softmaxCrossEntropy(f32(4, 3), labels, { weight, lastWeight: 0.25, lastStart });
const pool = (kernel: number, stride: number, padding = 0) => maxPool2d(image(), { kernel, stride, padding });
function backward(dy: Tensor, { twice = false, recorded = true } = {}): void {
  const [tape, x] = [new Tape(), intermediate(gpu, new Float32Array(4), [2, 2])];
  const y = recorded ? tape.record(() => relu(x)) : relu(x);
  tape.backward(y, dy);
  if (twice) tape.backward(y, dy);
}
function ownOp(gradient: Tensor): void {
  const [tape, x, y] = [new Tape(), intermediate(gpu, new Float32Array(4), [2, 2]), f32(2, 2)];
  tape.record(() => differentiable("own op", [x], y, () => [gradient]));
  tape.backward(y, f32(2, 2));
}
const array = (data: unknown, shape: number[], stored?: "f16") =>
  fromArray(gpu, data as NumberArray, shape, "t", stored);

const DATA = syntheticDataset({ classes: 3, channels: 2, height: 2, width: 2, train: 5, test: 4, seed: 1 });
const upload = (wrong: Partial<ImageDataset>) => uploadDataset(gpu, { ...DATA, ...wrong });
const split = (wrong: Partial<Split>) => upload({ test: { ...DATA.test, ...wrong } });

const CASES: readonly (readonly [what: string, call: () => unknown, message: RegExp])[] = [
  ["a length of 0", () => empty(gpu, [2, 0]), /tensor: expected whole numbers of at least 1 .* got \[2, 0\]/],
  ["half a length", () => persistent(gpu, [2.5]), /got \[2\.5\]/],
  ["lengths whose product fits", () => view(f32(2, 6), [-3, -4]), /view: expected whole .* got \[-3, -4\]/],
  ["a type of no tensor", () => empty(gpu, [2], "f64" as "f32"), /types f32, f16, u32, i32, u8, got f64/],
  [
    "an array of another type",
    () => array(new Float64Array(2), [2]),
    /expected a Float32Array.*Float64Array/,
  ],
  ["integers as f16", () => array(new Uint32Array(2), [2], "f16"), /only a Float32Array .* f16, not u32/],
  ["add: types", () => add(f32(2, 2), f16(2, 2)), /add: a is f32 and b is f16/],
  ["relu: integers", () => relu(u32(2)), /relu: x is u32, expected f32 or f16/],
  [
    "conv2d: f16 weight",
    () => conv2d(image(), f16(3, 2, 1, 1), pixel),
    /conv2d: weight is f16, expected f32/,
  ],
  ["linear: f16 weight", () => linear(f32(2, 3), f16(4, 3), null), /linear: weight is f16, expected f32/],
  ["linear: integer bias", () => linear(f32(2, 3), f32(4, 3), u32(4)), /linear: bias is u32, expected f32/],
  ["channel bias: f16", () => addChannelBias(image(), f16(2)), /addChannelBias: bias is f16/],
  ["channel bias: no channels", () => addChannelBias(f32(4), f32(2)), /addChannelBias: x: expected 2 dim/],
  ["flatten: 0 dimensions", () => flatten(persistent(gpu, [])), /flatten: x: expected 1 dimensions or more/],
  ["global pool: matrix", () => globalAvgPool(f32(4, 2)), /globalAvgPool: x: expected 4 dimensions/],
  ["pool: no stride", () => pool(2, undefined as unknown as number), /pooling: stride: .* got undefined/],
  ["pool: stride of 0", () => pool(2, 0), /pooling: stride: expected a whole number of at least 1, got 0/],
  ["pool: negative padding", () => pool(2, 1, -1), /pooling: padding: .* at least 0, got -1/],
  [
    "avg pool: half a window",
    () => avgPool2d(image(), { kernel: 1.5, stride: 1 }),
    /pooling: kernel: .* 1\.5/,
  ],
  ["dropout of everything", () => dropped(1), /dropout: expected a probability from 0 to below 1, got 1/],
  ["dropout: no sample", () => dropped(0.5, Number.NaN), /dropout: firstSample: .* got NaN/],
  ["norm: f16 gamma", () => norm({ gamma: f16(2) }), /ghostBatchNorm: gamma is f16, expected f32/],
  ["norm: f16 statistics", () => norm({ statistics: f16(2, 2, 2) }), /statistics is f16, expected f32/],
  ["norm: no first ghost", () => norm({ ghost: { firstGhost: undefined } }), /firstGhost: .* got undefined/],
  ["norm: half a ghost", () => norm({ ghost: { ghostSize: 1.5 } }), /ghostSize: .* got 1\.5/],
  ["norm: negative channel", () => norm({ firstChannel: -1 }), /firstChannel: .* at least 0, got -1/],
  ["norm: no eps", () => norm({ eps: Number.NaN }), /eps: expected a number of at least 0, got NaN/],
  ["evaluation: vector", () => evaluated({ x: f32(2) }), /affineNorm: x: expected 2 dimensions or more/],
  ["evaluation: f16 mean", () => evaluated({ runningMean: f16(2) }), /affineNorm: runningMean is f16/],
  ["evaluation: channel", () => evaluated({ firstChannel: -1 }), /affineNorm: firstChannel: .* got -1/],
  ["loss: f32 labels", () => loss(f32(4)), /softmaxCrossEntropy: labels is f32, expected u32/],
  ["loss: last ghost", () => loss(u32(4), -1), /softmaxCrossEntropy: lastStart: .* at least 0, got -1/],
  [
    "loss: weight",
    () => loss(u32(4), 4, Number.NaN),
    /softmaxCrossEntropy: weight: expected a number, got NaN/,
  ],
  ["distance: f16", () => l2Distance(f16(4), f16(4), f32(1)), /l2Distance: x is f16, expected f32/],
  ["distance: index", () => l2Distance(f32(4), f32(4), f32(2), 2), /index 2 is outside the 2 elements/],
  ["backward: shape", () => backward(f32(4)), /Tape\.backward: dy: expected \[2, 2\], got \[4\]/],
  ["backward: type", () => backward(f16(2, 2)), /Tape\.backward: dy: expected f32, got f16/],
  [
    "backward: not recorded",
    () => backward(f32(2, 2), { recorded: false }),
    /this tape did not record how relu/,
  ],
  ["backward: again", () => backward(f32(2, 2), { twice: true }), /call backward once/],
  ["own op: shape", () => ownOp(f32(2, 3)), /own op: gradient of input 0: expected \[2, 2\], got \[2, 3\]/],
  ["own op: type", () => ownOp(f16(2, 2)), /own op: gradient of input 0: expected f32, got f16/],
  [
    "data set: bytes",
    () => split({ count: 3 }),
    /test images: expected 24 bytes, 3 images of 2 × 2 × 2, got 32/,
  ],
  [
    "data set: labels",
    () => split({ labels: new Uint8Array([0, 1, 3, 2]) }),
    /sample 2 has label 3, .* 0 to 2/,
  ],
  [
    "data set: channels",
    () => upload({ normalization: { mean: [0], standardDeviation: [1] } }),
    /each of 2 channels/,
  ],
];

/** Fails unless `call` throws an error of the library's own, whose message is one line and matches. */
function expectRefused(call: () => unknown, message: RegExp): void {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(GhostbatchError);
  expect((thrown as Error).message).toMatch(message);
  expect((thrown as Error).message).not.toContain("\n");
}

test.each(CASES)("%s", (_, call, message) => expectRefused(call, message));

describe("memory that a kernel must not touch", () => {
  test("a freed tensor", async () => {
    const freed = empty(gpu, [4], "f32", "freed");
    gpu.memory.release(freed.storage);
    const message = /relu\.wgsl: x: freed \[4\] has been freed: return it from its scope, or free it after/;
    expectRefused(() => relu(freed), message);
    expectRefused(() => gpu.write(freed, new Float32Array(4)), /^write: freed \[4\] has been freed/);
    await expect(gpu.read(freed)).rejects.toThrow(/^read: freed \[4\] has been freed/);
    const after = await gpu.lifetime(async () => persistent(gpu, [4], { label: "over" }));
    expectRefused(() => relu(after), /over \[4\] has been freed/);
  });

  test("a tensor of another device", () => {
    const [own, foreign] = [f32(4), persistent(other, [4], { label: "foreign" })];
    expectRefused(() => add(own, foreign), /add\.wgsl: b: foreign \[4\] is on another device: create it on/);
    expectRefused(() => gpu.copy(own, foreign), /^copy: foreign \[4\] is on another device/);
  });

  test("the neighbors of a view", async () => {
    const whole = fromArray(gpu, new Float32Array(128).fill(1), [128], "whole");
    const half = { ...whole, byteLength: 256 };
    expectRefused(
      () => gpu.write(half, new Float32Array(65)),
      /^write to whole \[128\]: it has 256 bytes, .* 260$/,
    );
    expectRefused(() => gpu.copy(whole, half), /^copy of whole .*: 512 bytes do not fit 256$/);
    gpu.write(half, new Float32Array(64));
    expect(await gpu.read(whole)).toEqual(new Float32Array(128).fill(0, 0, 64).fill(1, 64).buffer);
  });
});
