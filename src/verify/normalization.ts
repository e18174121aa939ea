/** Check of ghost batch norm: training with statistics of each ghost, then evaluation with the running ones. */
import { z } from "zod";
import { launchRunningStatistics } from "../kernels/ghost-batch-norm.ts";
import { affineNorm } from "../ops/affine-norm.ts";
import { ghostBatchNorm } from "../ops/ghost-batch-norm.ts";
import { Tape } from "../ops/tape.ts";
import { fromArray, persistent } from "../tensor/tensor.ts";
import { compare, roundingTolerance } from "./compare.ts";
import { cutIntoGhosts } from "./ghosts.ts";
import { evaluate, type OperationCheck, positive, upload } from "./operation.ts";
import type { Values } from "./reference-file.ts";

const Attributes = z.object({
  ghost_size: positive,
  eps: z.number().min(0),
  momentum: z.number().min(0).max(1),
});

/**
 * x [N, C] or [N, C, H, W] in ghosts of `ghost_size`, in order; weight (gamma) and bias (beta) [C]. The running
 * statistics are updated with one ghost after the other; `output_eval` is x normalized with the final ones.
 */
export const checkGhostBatchNorm: OperationCheck = async (gpu, reference) => {
  const { ghost_size, eps, momentum } = reference.attributes(Attributes);
  const [N, C, ...image] = reference.shape("x");
  if (N === undefined || C === undefined)
    throw reference.error(`x is [${reference.shape("x").join(", ")}], expected [N, C, …]`);
  const pixels = image.reduce((product, length) => product * length, 1);
  const ghosts = { ...cutIntoGhosts(N, ghost_size), firstGhost: 0 };
  const { x, weight, bias } = await upload(gpu, reference, ["x", "weight", "bias"]);
  const dy = fromArray(gpu, (await reference.floats("grad_output", x.shape)).data, x.shape);
  const statistics = persistent(gpu, [ghosts.ghosts, C, 2]);
  const runningMean = fromArray(gpu, (await reference.floats("running_mean_before", [C])).data);
  const runningVariance = fromArray(gpu, (await reference.floats("running_var_before", [C])).data);

  const results = await evaluate(gpu, () => {
    const tape = new Tape();
    const output = tape.record(() =>
      ghostBatchNorm(x, weight, bias, { ghosts, statistics, firstChannel: 0, eps }),
    );
    tape.backward(output, dy);
    const running = {
      statistics,
      pixels: fromArray(gpu, new Uint32Array(C).fill(pixels)),
      runningMean,
      runningVariance,
    };
    launchRunningStatistics({ ...running, ghosts }, { rule: "sequential", momentum });
    const output_eval = affineNorm(x, weight, bias, { runningMean, runningVariance, firstChannel: 0, eps });
    return {
      output,
      output_eval,
      grad_x: tape.gradientOf(x)!,
      grad_weight: tape.gradientOf(weight)!,
      grad_bias: tape.gradientOf(bias)!,
      running_mean: runningMean,
      running_var: runningVariance,
    };
  });

  const condition = conditionOf(await reference.floats("x"), ghosts, eps);
  const perGhost = roundingTolerance(Math.max(ghosts.ghostSize, ghosts.last) * pixels, condition);
  const perBatch = roundingTolerance(N * pixels, condition);
  const tolerances = {
    output: perGhost,
    output_eval: perGhost,
    grad_x: perGhost,
    grad_weight: perBatch,
    grad_bias: perBatch,
    running_mean: perGhost,
    running_var: perGhost,
  };
  return Promise.all(
    Object.entries(tolerances).map(async ([name, tolerance]) =>
      compare(name, results[name] ?? [], await reference.floats(name), { tolerance }),
    ),
  );
};

/**
 * √ of the mean over ghosts and channels of Σ x² / Σ ((x − mean)² + eps): x − mean loses the digits that x and its
 * mean have in common, so a rounding of x becomes this many times larger in the output.
 */
function conditionOf(
  x: Values,
  ghosts: { ghostSize: number; ghosts: number; total: number },
  eps: number,
): number {
  const C = x.shape[1]!;
  const pixels = x.data.length / (x.shape[0]! * C);
  let sum = 0;
  for (let ghost = 0; ghost < ghosts.ghosts; ghost++) {
    const begin = ghost * ghosts.ghostSize;
    const end = ghost === ghosts.ghosts - 1 ? ghosts.total : begin + ghosts.ghostSize;
    for (let channel = 0; channel < C; channel++) {
      let values = 0;
      let squares = 0;
      for (let n = begin; n < end; n++) {
        for (let pixel = 0; pixel < pixels; pixel++) {
          const value = x.data[(n * C + channel) * pixels + pixel]!;
          values += value;
          squares += value ** 2;
        }
      }
      const count = (end - begin) * pixels;
      sum += squares / count / (squares / count - (values / count) ** 2 + eps);
    }
  }
  return Math.sqrt(sum / (ghosts.ghosts * C));
}
