/** Checks of all steps from the logits to an update: loss, clipped momentum SGD, distance from the start. */
import { z } from "zod";
import { launchMetrics } from "../kernels/metrics.ts";
import { launchClip, launchMomentum, launchSumOfSquares, partialSums } from "../kernels/sgd.ts";
import { l2Distance } from "../ops/l2-distance.ts";
import { softmaxCrossEntropy } from "../ops/softmax-cross-entropy.ts";
import { dims } from "../tensor/shape.ts";
import { empty, fromArray, persistent, readFloats } from "../tensor/tensor.ts";
import { IDLE_STEP, StepUniform } from "../train/step-uniform.ts";
import { type Comparison, compare, roundingTolerance } from "./compare.ts";
import { evaluate, type OperationCheck } from "./operation.ts";
import type { Values } from "./reference-file.ts";

/** Fields 0 to 3 of a row of the log are summed from the batch, 4 to 6 written by the clip. */
const LOG_FIELDS = 8;

/** Mean cross-entropy of x [N, K] against labels [N], its gradient, and hits among the first one and five classes. */
export const checkCrossEntropy: OperationCheck = async (gpu, reference) => {
  const [N, K] = dims("x", reference.shape("x"), 2);
  const logits = fromArray(gpu, (await reference.floats("x")).data, [N, K]);
  const labels = fromArray(gpu, await reference.integers("labels", K, [N]));
  const log = persistent(gpu, [1, LOG_FIELDS]);
  const step = new StepUniform(gpu);
  step.write(IDLE_STEP);
  const { grad_x, sums } = await evaluate(gpu, () => {
    const mean = { weight: 1 / N, lastWeight: 1 / N, lastStart: N };
    const { dlogits, rows } = softmaxCrossEntropy(logits, labels, mean);
    launchMetrics({ rows, log, step: step.tensor }, { accumulate: false });
    return { grad_x: dlogits, sums: log };
  });
  const [loss, top1, top5] = sums as Float32Array;
  const hits = async (name: string, count: number): Promise<Comparison> => {
    const [expected] = await reference.integers(name, N + 1, [1]);
    return compare(name, [count], { shape: [1], data: [expected!] }, { tolerance: 0 });
  };
  return [
    compare("output", [loss!], await reference.floats("output", [1]), {
      tolerance: roundingTolerance(N + K),
    }),
    compare("grad_x", grad_x!, await reference.floats("grad_x", [N, K]), { tolerance: roundingTolerance(K) }),
    await hits("correct_top1", top1!),
    await hits("correct_top5", top5!),
  ];
};

const Sgd = z.object({
  rates: z.array(z.number().min(0)).min(1),
  momentum: z.number().min(0),
  weight_decay: z.number().min(0),
  clip_norm: z.number().min(0),
});

/**
 * Momentum SGD with weight decay and a clip of the global norm, one step for each of `rates`. The parameters are the
 * tensors p that have a grad_p.0; step t uses grad_p.t and gives p.t and, before the clip, norm.t.
 */
export const checkSgd: OperationCheck = async (gpu, reference) => {
  const { rates, momentum, weight_decay, clip_norm } = reference.attributes(Sgd);
  const names = reference.tensors.filter((name) => reference.tensors.includes(`grad_${name}.0`));
  if (names.length === 0)
    throw reference.error("has no parameter: found no tensor p with a gradient grad_p.0");
  const start = pack(await all(names, (name) => reference.floats(name)));
  const size = start.data.length;
  const value = fromArray(gpu, start.data);
  const [gradient, velocity] = [persistent(gpu, [size]), persistent(gpu, [size])];
  const clip = persistent(gpu, [2]);
  const log = persistent(gpu, [1, LOG_FIELDS]);
  const step = new StepUniform(gpu);

  const comparisons: Comparison[] = [];
  for (const [t, learningRate] of rates.entries()) {
    const gradients = await all(names, (name) =>
      reference.floats(`grad_${name}.${t}`, reference.shape(name)),
    );
    gpu.write(gradient, pack(gradients).data);
    step.write({
      ...IDLE_STEP,
      learningRate,
      momentum,
      weightDecay: weight_decay,
      clipNorm: clip_norm,
      step: t,
    });
    const results = await evaluate(gpu, () => {
      const partial = empty(gpu, [partialSums(size)]);
      launchSumOfSquares({ x: gradient, partial });
      launchClip({ partial, clip, log, step: step.tensor });
      launchMomentum({ gradient, clip, velocity, value, step: step.tensor });
      return { value, clip };
    });
    const norm = results.clip!.subarray(0, 1);
    comparisons.push(
      compare(`norm.${t}`, norm, await reference.floats(`norm.${t}`, [1]), {
        tolerance: roundingTolerance(size),
      }),
    );
    for (const [index, name] of names.entries()) {
      const expected = await reference.floats(`${name}.${t}`, reference.shape(name));
      const place = start.offsets[index]!;
      const actual = results.value!.subarray(place, place + expected.data.length);
      comparisons.push(compare(`${name}.${t}`, actual, expected, { tolerance: roundingTolerance(t + 1) }));
    }
  }
  return comparisons;
};

/** ‖b − a‖₂ of all parts a0, a1, … and b0, b1, … together. */
export const checkDistance: OperationCheck = async (gpu, reference) => {
  const parts = reference.tensors.filter((name) => /^a\d+$/.test(name)).map((name) => name.slice(1));
  if (parts.length === 0) throw reference.error("has no tensor a0");
  const start = pack(await all(parts, (part) => reference.floats(`a${part}`)));
  const now = pack(await all(parts, (part) => reference.floats(`b${part}`, reference.shape(`a${part}`))));
  const distance = persistent(gpu, [1]);
  l2Distance(fromArray(gpu, now.data), fromArray(gpu, start.data), distance);
  const tolerance = roundingTolerance(now.data.length);
  return [
    compare("output", await readFloats(distance), await reference.floats("output", [1]), { tolerance }),
  ];
};

function all<T>(names: readonly string[], read: (name: string) => Promise<T>): Promise<T[]> {
  return Promise.all(names.map(read));
}

/** Tensors one after the other in one flat buffer, padded with zeros to whole vec4, as the kernels read it. */
function pack(parts: readonly Values[]): { data: Float32Array<ArrayBuffer>; offsets: readonly number[] } {
  let size = 0;
  const offsets = parts.map(({ data }) => {
    const offset = size;
    size += data.length;
    return offset;
  });
  const data = new Float32Array(Math.ceil(size / 4) * 4);
  for (const [index, part] of parts.entries()) data.set(part.data, offsets[index]);
  return { data, offsets };
}
