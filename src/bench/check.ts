/** Checks whether a pass is correct: its outputs against float64, element by element. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { closeness, coordinates, largest } from "../reference/close.ts";
import { float16Step } from "../support/float16.ts";
import { type NumberArray, readTensor } from "../tensor/tensor.ts";
import type { Output } from "./pass.ts";
import { POISON, poisonedPlaces } from "./poison.ts";

/** An error in one output. */
export interface Finding {
  readonly kind: "does not compile" | "writes nothing" | "unwritten elements" | "wrong values";
  readonly message: string;
}

/** Dispatches the commands once and reads what they wrote. */
export async function runCommands(
  gpu: Gpu,
  commands: readonly Command[],
  outputs: readonly Output[],
): Promise<NumberArray[]> {
  // Before submitting anything, so that a compile error is reported here, once.
  await gpu.pipelines.compile(commands);
  for (const { kernel, launch } of commands) gpu.run(kernel, launch as Parameters<Gpu["run"]>[1]);
  await gpu.settle();
  const results: NumberArray[] = [];
  for (const { tensor } of outputs) results.push(await readTensor(tensor));
  return results;
}

/** The findings about all outputs compared with float64; empty if all are correct. */
export function findingsOf(outputs: readonly Output[], results: readonly NumberArray[]): Finding[] {
  const findings = unwrittenIn(outputs, results);
  if (findings.length > 0) return findings;
  return outputs.flatMap((output, i) => {
    const values = output.reference();
    return wrongValues(output, results[i]!, values, allowed(output, values));
  });
}

/** The same compared with a trusted kernel, which may have the same error, so twice the difference is allowed. */
export function findingsBeside(
  outputs: readonly Output[],
  results: readonly NumberArray[],
  trusted: readonly NumberArray[],
): Finding[] {
  const findings = unwrittenIn(outputs, results);
  if (findings.length > 0) return findings;
  return outputs.flatMap((output, i) => {
    const values = trusted[i]!;
    return wrongValues(output, results[i]!, values, 2 * allowed(output, values));
  });
}

/** The error of the sums, and of storing them: half the spacing of the largest f16 numbers. */
function allowed({ tensor, bound }: Output, values: ArrayLike<number>): number {
  return bound(values) + (tensor.dtype === "f16" ? float16Step(largest(values)) / 2 : 0);
}

/** Findings about buffers that still contain poison. */
export function unwrittenIn(
  outputs: readonly Pick<Output, "name" | "tensor">[],
  results: readonly NumberArray[],
): Finding[] {
  return outputs.flatMap(({ name, tensor }, i): Finding[] => {
    const result = results[i]!;
    const { count, first } = poisonedPlaces(wordsOf(result));
    if (count === 0) return [];
    if (count === result.length)
      return [{ kind: "writes nothing", message: `no element of ${name} was written` }];
    const some = first.slice(0, 3).map((index) => `${name}[${coordinates(index, tensor.shape).join(", ")}]`);
    const message = `${count} of ${result.length} elements of ${name} were never written: ${some.join(", ")}${count > 3 ? ", …" : ""}`;
    return [{ kind: "unwritten elements", message }];
  });
}

function wrongValues(
  { name, tensor }: Output,
  result: NumberArray,
  values: ArrayLike<number>,
  bound: number,
): Finding[] {
  const { wrong, index, maxError } = closeness(result, values, bound);
  if (wrong === 0) return [];
  const worst = `worst ${name}[${coordinates(index, tensor.shape).join(", ")}]: got ${result[index]}, expected ${values[index]}`;
  const message = `${wrong} of ${result.length} values of ${name} are off; ${worst} (error ${maxError.toExponential(1)}, allowed ${bound.toExponential(1)})`;
  return [{ kind: "wrong values", message }];
}

/** The bits of a result. */
export function wordsOf(values: NumberArray): Uint32Array {
  if (values.byteLength % 4 !== 0) return new Uint32Array(values.length).fill(~POISON);
  return new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);
}
