/** What the checks of single operations share. */
import { z } from "zod";
import type { Gpu } from "../gpu/gpu.ts";
import { Tape } from "../ops/tape.ts";
import { fromArray, type NumberArray, readTensor, type Tensor } from "../tensor/tensor.ts";
import { type Comparison, compare, roundingTolerance } from "./compare.ts";
import type { ReferenceCase } from "./reference-file.ts";

/** Computes a case on the engine and compares every tensor that the reference has of it. */
export type OperationCheck = (gpu: Gpu, reference: ReferenceCase) => Promise<readonly Comparison[]>;

export const positive = z.int().min(1);
export const nonNegative = z.int().min(0);

/** Runs `body` outside a recording and reads the tensors it returns; those it creates return to the pool. */
export async function evaluate(
  gpu: Gpu,
  body: () => Readonly<Record<string, Tensor>>,
): Promise<Record<string, NumberArray>> {
  const reads: Promise<[string, NumberArray]>[] = [];
  gpu.scope(() => {
    // A read submits its copy before it first waits, so the scope may take the memory back at once.
    for (const [name, tensor] of Object.entries(body()))
      reads.push(readTensor(tensor).then((data) => [name, data]));
  });
  return Object.fromEntries(await Promise.all(reads));
}

/** Input tensors of a case on the GPU, to be differentiated by. */
export async function upload<N extends string>(
  gpu: Gpu,
  reference: ReferenceCase,
  names: readonly N[],
): Promise<Record<N, Tensor>> {
  const inputs = {} as Record<N, Tensor>;
  for (const name of names) {
    const { data, shape } = await reference.floats(name);
    inputs[name] = fromArray(gpu, data, shape, name);
    inputs[name].requiresGradient = true;
  }
  return inputs;
}

/** `output` of the operation, and `grad_<input>` of each input for `grad_output`. */
export async function forwardAndBackward<N extends string>(
  gpu: Gpu,
  reference: ReferenceCase,
  inputs: Readonly<Record<N, Tensor>>,
  forward: (inputs: Readonly<Record<N, Tensor>>) => Tensor,
): Promise<Record<string, NumberArray>> {
  const upstream = await reference.floats("grad_output", reference.shape("output"));
  const dy = fromArray(gpu, upstream.data, upstream.shape, "grad_output");
  return evaluate(gpu, () => {
    const tape = new Tape();
    const output = tape.record(() => forward(inputs));
    if (output.shape.join() !== upstream.shape.join()) {
      throw reference.error(
        `output is [${upstream.shape.join(", ")}], but the operation's is [${output.shape.join(", ")}]`,
      );
    }
    tape.backward(output, dy);
    const results: Record<string, Tensor> = { output };
    for (const [name, input] of Object.entries<Tensor>(inputs)) {
      const gradient = tape.gradientOf(input);
      if (gradient) results[`grad_${name}`] = gradient;
    }
    return results;
  });
}

/**
 * Compares results with the reference's tensors of the same names.
 * @param terms how many terms each element of a tensor sums
 */
export async function compareAll(
  reference: ReferenceCase,
  results: Readonly<Record<string, NumberArray>>,
  terms: Readonly<Record<string, number>>,
): Promise<Comparison[]> {
  const comparisons: Comparison[] = [];
  for (const [name, count] of Object.entries(terms)) {
    const tolerance = roundingTolerance(count);
    comparisons.push(compare(name, results[name] ?? [], await reference.floats(name), { tolerance }));
  }
  return comparisons;
}
