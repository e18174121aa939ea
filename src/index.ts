/// <reference types="@webgpu/types" />
/**
 * The portable library: what a program imports from "ghostbatch", in Node or in a page, to train its own networks or dispatch its own
 * kernels. What needs Node is in "ghostbatch/node". The command line uses the same functions. examples/own-network.ts shows how to
 * use them.
 */

export type { ImageDataset, Split } from "./data/dataset.ts";
export { type ResidentDataset, uploadDataset } from "./data/resident.ts";
export type { AdapterFacts } from "./gpu/adapter.ts";
export { Gpu } from "./gpu/gpu.ts";
export { defineKernel, type Kernel, type Launch } from "./gpu/kernel.ts";
export { Arena, type Plan, planRecording, type Recording, record } from "./gpu/recording.ts";
export { createModel } from "./models/create-model.ts";
export { MODEL_NAMES } from "./models/index.ts";
export type { ImageFacts } from "./models/model-entry.ts";
export { Conv2d } from "./nn/conv2d.ts";
export { Dropout } from "./nn/dropout.ts";
export { GhostBatchNorm } from "./nn/ghost-batch-norm.ts";
export { constant, normal, uniformBetween, uniformWithin } from "./nn/initialize.ts";
export { Linear } from "./nn/linear.ts";
export { MaxPool2d } from "./nn/max-pool.ts";
export { type ModelState, materialize } from "./nn/model-state.ts";
export { type Mode, Module, Parameter, parameterCount, Relu, Sequential } from "./nn/module.ts";
export { loadStateDict, type StateTensor, stateDict } from "./nn/state-dict.ts";
export { add } from "./ops/add.ts";
export { affineNorm } from "./ops/affine-norm.ts";
export { avgPool2d } from "./ops/avg-pool.ts";
export { addChannelBias } from "./ops/channel-bias.ts";
export { conv2d } from "./ops/conv2d.ts";
export { dropout } from "./ops/dropout.ts";
export { flatten } from "./ops/flatten.ts";
export { type GhostBatchNormOptions, ghostBatchNorm } from "./ops/ghost-batch-norm.ts";
export { globalAvgPool } from "./ops/global-avg-pool.ts";
export { l2Distance } from "./ops/l2-distance.ts";
export { linear } from "./ops/linear.ts";
export { maxPool2d } from "./ops/max-pool.ts";
export { relu } from "./ops/relu.ts";
export { softmaxCrossEntropy } from "./ops/softmax-cross-entropy.ts";
export { differentiable, Tape } from "./ops/tape.ts";
export {
  CapacityError,
  DataError,
  DeviceError,
  DeviceLostError,
  DivergenceError,
  GhostbatchError,
  ShaderError,
  ShapeError,
  UsageError,
} from "./support/errors.ts";
export {
  empty,
  type FloatType,
  fromArray,
  persistent,
  readFloats,
  readTensor,
  type Tensor,
  view,
} from "./tensor/tensor.ts";
export { BASE_REGIMES, type BaseRegime } from "./train/base-regimes.ts";
export { type EpochPlan, partitionBatch, planEpoch } from "./train/ghosts.ts";
export { lossScaleOf } from "./train/precision.ts";
export { planRegime, type Regime, type RegimeOptions } from "./train/regime.ts";
export { type TrainEvent, Trainer, type TrainOptions } from "./train/trainer.ts";
