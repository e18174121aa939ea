import { l2DistanceCases } from "../../cases/l2-distance.ts";
import { caseLabel } from "../../cases/label.ts";
import { type SgdCase, sgdCases } from "../../cases/sgd.ts";
import { launchDistanceFinish, launchDistancePartial } from "../../kernels/l2-distance.ts";
import { launchClip, launchMomentum, launchSumOfSquares, partialSums } from "../../kernels/sgd.ts";
import { largest, roundingBound } from "../../reference/close.ts";
import { l2Distance } from "../../reference/l2-distance.ts";
import { clipCoefficient, l2Norm, sgdStep } from "../../reference/sgd.ts";
import { fromArray, slice } from "../../tensor/tensor.ts";
import { numbers, type Output, type Pass, passOf, poisoned } from "../pass.ts";
import { stepUniform } from "./step.ts";

/** All terms of these sums are positive: the longest chain of additions is 256 partial sums of 4,096 terms in 64 lanes. */
const RELATIVE = roundingBound({ terms: 512, scale: 1 });

/** The flat parameters of a model: a multiple of 64 numbers. */
function flat(one: SgdCase) {
  const size = Math.ceil(one.size / 64) * 64;
  const make = numbers(one.size);
  const padded = (values: Float32Array<ArrayBuffer>) => {
    const all = new Float32Array(size);
    all.set(values);
    return all;
  };
  return {
    size,
    gradient: padded(make(one.size, { deviation: one.gradientDeviation })),
    value: padded(make(one.size, { deviation: 0.1 })),
    velocity: padded(make(one.size, { deviation: 0.01 })),
  };
}

const optimizer = {
  label: ({ size, clipNorm, momentum, weightDecay, network }: SgdCase) =>
    caseLabel({ size, clipNorm, momentum, weightDecay, network }),
  cost: ({ size }: SgdCase) => ({ flops: 6 * size, bytes: 20 * size }),
};

/** The most numbers of a case: AlexNet's 61 million would take minutes to draw. */
const MOST = 2 ** 22;
const cases = sgdCases.filter(({ size }) => size <= MOST);

export const optimizerPasses: readonly Pass[] = [
  passOf("clip/coefficient", cases, {
    ...optimizer,
    prepare: (gpu, one) => {
      const host = flat(one);
      const x = fromArray(gpu, host.gradient, [host.size], "gradient");
      const partial = poisoned(gpu, [partialSums(host.size)], "partial");
      const clip = poisoned(gpu, [2], "clip");
      const log = fromArray(gpu, new Float32Array(8), [1, 8], "log");
      const step = stepUniform(gpu, { clipNorm: one.clipNorm ?? 0 });
      const values = () => {
        const norm = l2Norm(host.gradient);
        return [norm, clipCoefficient(norm, one.clipNorm)];
      };
      return {
        launch: () => {
          launchSumOfSquares({ x, partial });
          launchClip({ partial, clip, log, step });
        },
        outputs: [within("clip", clip, values)],
      };
    },
  }),
  passOf("sgd/momentum", cases, {
    ...optimizer,
    prepare: (gpu, one) => {
      const host = flat(one);
      const tensor = (name: "gradient" | "value" | "velocity") =>
        fromArray(gpu, host[name], [host.size], name);
      const tensors = { gradient: tensor("gradient"), value: tensor("value"), velocity: tensor("velocity") };
      const norm = l2Norm(host.gradient);
      const coefficient = Math.fround(clipCoefficient(norm, one.clipNorm));
      const clip = fromArray(gpu, new Float32Array([norm, coefficient]), [2], "clip");
      const { lr: learningRate, momentum, weightDecay } = one;
      const step = stepUniform(gpu, { learningRate, momentum, weightDecay, clipNorm: one.clipNorm ?? 0 });
      const reference = () =>
        sgdStep({ parameters: host.value, gradients: host.gradient, velocity: host.velocity }, one);
      const bound = () => {
        const stepped = reference();
        return roundingBound({ terms: 3, scale: largest(stepped.velocity) + largest(stepped.parameters) });
      };
      const { velocity, value } = tensors;
      return {
        launch: () => launchMomentum({ ...tensors, clip, step }),
        outputs: [
          { name: "velocity", tensor: velocity, reference: () => reference().velocity, bound },
          { name: "value", tensor: value, reference: () => reference().parameters, bound },
        ],
      };
    },
  }),
  passOf("l2-distance/partial", l2DistanceCases, {
    label: caseLabel,
    cost: ({ size }) => ({ flops: 3 * size, bytes: 8 * size }),
    prepare: (gpu, { size, count = size }) => {
      const make = numbers(size + count);
      const host = { a: make(size), b: make(size, { mean: 0.1 }) };
      const x = slice(fromArray(gpu, host.a, [size], "x"), 0, [count]);
      const start = slice(fromArray(gpu, host.b, [size], "start"), 0, [count]);
      const partial = poisoned(gpu, [partialSums(count)], "partial");
      const distance = poisoned(gpu, [1], "distance");
      return {
        launch: () => {
          launchDistancePartial({ x, start, partial });
          launchDistanceFinish({ partial, distance }, 0);
        },
        outputs: [within("distance", distance, () => [l2Distance(host, count)])],
      };
    },
  }),
];

function within(name: string, tensor: Output["tensor"], reference: () => number[]): Output {
  return { name, tensor, reference, bound: (values) => RELATIVE * largest(values) };
}
