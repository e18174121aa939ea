/** Parameters and running statistics under the names and in the layouts of the authors' PyTorch models. */
import { DataError } from "../support/errors.ts";
import { sizeOf } from "../tensor/shape.ts";
import { readFloats } from "../tensor/tensor.ts";
import { type ModelState, markStart } from "./model-state.ts";

type Floats = Float32Array<ArrayBuffer>;

export interface StateTensor {
  readonly shape: readonly number[];
  readonly data: Floats;
}

/** gamma and beta are called `weight` and `bias` there. */
function pytorchName(name: string): string {
  return name.replace(/(^|\.)gamma$/, "$1weight").replace(/(^|\.)beta$/, "$1bias");
}

/** Everything that `load_state_dict` takes, in the order of the model. */
export async function stateDict(state: ModelState): Promise<Map<string, StateTensor>> {
  const { values, normState } = state;
  return stateDictOf(state, {
    values: await readFloats(values),
    ...(normState && {
      runningMean: await readFloats(normState.runningMean),
      runningVariance: await readFloats(normState.runningVariance),
    }),
  });
}

/**
 * The same, from a copy on the CPU.
 * @param flat values as ModelState.values, and running statistics where the model has any
 */
export function stateDictOf(
  { parameters, norms }: ModelState,
  flat: { readonly values: Floats; readonly runningMean?: Floats; readonly runningVariance?: Floats },
): Map<string, StateTensor> {
  const { values, runningMean, runningVariance } = flat;
  const state = new Map<string, StateTensor>();
  for (const [name, { shape, size, value }] of parameters) {
    const first = value.byteOffset / Float32Array.BYTES_PER_ELEMENT;
    state.set(pytorchName(name), { shape, data: values.slice(first, first + size) });
  }
  if (!runningMean || !runningVariance) return state;
  for (const [name, { channels, firstChannel }] of norms) {
    const range = [firstChannel, firstChannel + channels] as const;
    state.set(`${name}.running_mean`, { shape: [channels], data: runningMean.slice(...range) });
    state.set(`${name}.running_var`, { shape: [channels], data: runningVariance.slice(...range) });
  }
  return state;
}

/**
 * Loads weights written by `stateDict` or by PyTorch; distances are measured from them afterwards. PyTorch's
 * `num_batches_tracked` is ignored: nothing here depends on it. A prefix that all names share, beyond the model's own names, is
 * dropped: "module." from DataParallel, "_orig_mod." from torch.compile, or the attribute of a module around the model.
 * @throws DataError for a missing or extra name, or a shape that differs, naming `source`
 */
export async function loadStateDict(
  state: ModelState,
  given: ReadonlyMap<string, StateTensor>,
  source: string,
): Promise<void> {
  const first = pytorchName(state.parameters[0]?.[0] ?? "");
  const tensors = withoutPrefix(given, first);
  const unused = new Set([...tensors.keys()].filter((name) => !name.endsWith("num_batches_tracked")));
  const take = (name: string, shape: readonly number[]): Float32Array<ArrayBuffer> => {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new DataError(
        `${source}: ${name} [${shape.join(", ")}] is missing, which the model needs; found ${someOf(unused)}`,
      );
    if (tensor.shape.join() !== shape.join() || tensor.data.length !== sizeOf(shape)) {
      throw new DataError(
        `${source}: ${name} is [${tensor.shape.join(", ")}], but the model's is [${shape.join(", ")}]`,
      );
    }
    unused.delete(name);
    return tensor.data;
  };
  const { gpu, parameters, norms, normState } = state;
  for (const [name, { shape, value }] of parameters) gpu.write(value, take(pytorchName(name), shape));
  if (normState) {
    const mean = new Float32Array(normState.channels);
    const variance = new Float32Array(normState.channels);
    for (const [name, { channels, firstChannel }] of norms) {
      mean.set(take(`${name}.running_mean`, [channels]), firstChannel);
      variance.set(take(`${name}.running_var`, [channels]), firstChannel);
    }
    gpu.write(normState.runningMean, mean);
    gpu.write(normState.runningVariance, variance);
  }
  if (unused.size > 0)
    throw new DataError(`${source}: contains ${[...unused].join(", ")}, which the model does not have`);
  markStart(state);
}

/** The same tensors, without a prefix that all names share and that `first`, a name in the model, does not have. */
function withoutPrefix(
  tensors: ReadonlyMap<string, StateTensor>,
  first: string,
): ReadonlyMap<string, StateTensor> {
  const names = [...tensors.keys()];
  const wrapped = names.find((name) => name.endsWith(`.${first}`));
  if (wrapped === undefined || tensors.has(first)) return tensors;
  const prefix = wrapped.slice(0, -first.length);
  if (!names.every((name) => name.startsWith(prefix))) return tensors;
  return new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

/** The first few names, for a message. */
function someOf(names: ReadonlySet<string>): string {
  if (names.size === 0) return "no others";
  return `${[...names].slice(0, 3).join(", ")}${names.size > 3 ? " and others" : ""}`;
}
