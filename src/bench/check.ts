/** Whether a pass computes what it should: its outputs against float64, element by element. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { closeness, coordinates } from "../reference/close.ts";
import { type NumberArray, readTensor } from "../tensor/tensor.ts";
import type { Output } from "./pass.ts";
import { POISON, poisonedPlaces } from "./poison.ts";

/** What is wrong with one output. */
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
  // Before anything is submitted: what does not compile is told here, once.
  await gpu.pipelines.compile(commands);
  for (const { kernel, launch } of commands) gpu.run(kernel, launch as Parameters<Gpu["run"]>[1]);
  await gpu.settle();
  const results: NumberArray[] = [];
  for (const { tensor } of outputs) results.push(await readTensor(tensor));
  return results;
}

/** The findings about all outputs; none where everything is right. */
export function findingsOf(outputs: readonly Output[], results: readonly NumberArray[]): Finding[] {
  const unwritten = outputs.map((_, i) => poisonedPlaces(wordsOf(results[i]!)));
  if (outputs.length > 0 && outputs.every((_, i) => unwritten[i]!.length === results[i]!.length)) {
    const names = outputs.map(({ name }) => name).join(", ");
    return [{ kind: "writes nothing", message: `no element of ${names} was written` }];
  }
  return outputs.flatMap((output, i): Finding[] => {
    const { name, tensor } = output;
    const result = results[i]!;
    const place = (index: number) => `${name}[${coordinates(index, tensor.shape).join(", ")}]`;
    const left = unwritten[i]!;
    if (left.length > 0) {
      const some = left.slice(0, 3).map(place).join(", ");
      const message = `${left.length} of ${result.length} elements of ${name} were never written: ${some}${left.length > 3 ? ", …" : ""}`;
      return [{ kind: "unwritten elements", message }];
    }
    const { values, bound } = output.expected();
    const { wrong, index, maxError } = closeness(result, values, bound);
    if (wrong === 0) return [];
    const worst = `worst ${place(index)}: got ${result[index]}, expected ${values[index]}`;
    const message = `${wrong} of ${result.length} values of ${name} are off; ${worst} (error ${maxError.toExponential(1)}, allowed ${bound.toExponential(1)})`;
    return [{ kind: "wrong values", message }];
  });
}

/** The bits of a result. */
export function wordsOf(values: NumberArray): Uint32Array {
  if (values.byteLength % 4 !== 0) return new Uint32Array(values.length).fill(~POISON);
  return new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);
}
