/**
 * The memory of a model: one flat buffer of parameters and, in the same layout, their gradients, velocities and
 * initial values, so that clipping, SGD and distances are one kernel each; and the statistics of all batch-norm
 * layers side by side, so that one dispatch updates every running average.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { OFFSET_ALIGNMENT } from "../gpu/storage.ts";
import { launchRunningStatistics, type RunningRule } from "../kernels/ghost-batch-norm.ts";
import { CapacityError, UsageError } from "../support/errors.ts";
import { formatBytes, formatCount } from "../support/format.ts";
import { STREAMS } from "../support/random.ts";
import { ELEMENT_BYTES, type FloatType, persistent, slice, type Tensor } from "../tensor/tensor.ts";
import { type Module, namedModules, namedParameters, type Parameter, parameterCount } from "./module.ts";
import type { NormState, NormStatistics } from "./norm-state.ts";

export interface ModelState {
  readonly gpu: Gpu;
  readonly model: Module;
  readonly parameters: readonly (readonly [name: string, parameter: Parameter])[];
  readonly norms: readonly (readonly [name: string, norm: NormStatistics])[];
  /** [size]: all parameters, each starting at a multiple of 256 bytes; the gaps stay 0. */
  readonly values: Tensor;
  readonly gradients: Tensor;
  readonly velocity: Tensor;
  /** The values that training started from. */
  readonly start: Tensor;
  /** Null for a model without batch norm. */
  readonly normState: NormState | null;
  /** The type that images, activations and their gradients are stored in; everything above is f32. */
  readonly activations: FloatType;
}

/** Parameters start at multiples of this many numbers, so that each can be bound separately. */
const ALIGNMENT = OFFSET_ALIGNMENT / ELEMENT_BYTES.f32;

/**
 * Gives a model its memory and initial values.
 *
 * @param seed every parameter is drawn from (seed, its position in the model)
 * @param maximumGhosts ghost batches of the largest batch that will be trained on
 * @param activations the type that activations are stored in; f32 by default
 * @throws CapacityError when the parameters are more than one buffer of the adapter holds
 */
export function materialize(
  gpu: Gpu,
  model: Module,
  {
    seed,
    maximumGhosts,
    activations = "f32",
  }: { seed: number; maximumGhosts: number; activations?: FloatType },
): ModelState {
  const parameters = namedParameters(model);
  let size = 0;
  const offsets = parameters.map(([, parameter]) => {
    const offset = size;
    size += Math.ceil(parameter.size / ALIGNMENT) * ALIGNMENT;
    return offset;
  });
  requireRoom(gpu, size, parameterCount(model));
  const values = persistent(gpu, [size], { label: "parameters" });
  const gradients = persistent(gpu, [size], { label: "gradients" });
  const velocity = persistent(gpu, [size], { label: "velocity" });
  const start = persistent(gpu, [size], { label: "first parameters" });
  for (const [index, [, parameter]] of parameters.entries()) {
    const value = slice(values, offsets[index]!, parameter.shape);
    value.gradient = slice(gradients, offsets[index]!, parameter.shape);
    value.requiresGradient = true;
    parameter.place(value);
    parameter.initialize(value, { seed, stream: STREAMS.init, tensor: index });
  }
  const norms: [string, NormStatistics][] = [];
  let masks = 0;
  for (const [name, { state }] of namedModules(model)) {
    if (state?.kind === "mask") state.place(masks++);
    if (state?.kind === "statistics") norms.push([name, state]);
  }
  const normState = placeNorms(
    gpu,
    norms.map(([, norm]) => norm),
    maximumGhosts,
  );
  const flat = { values, gradients, velocity, start };
  const state = { gpu, model, parameters, norms, ...flat, normState, activations };
  markStart(state);
  return state;
}

/** Checks that all parameters fit in one binding, which kernels over all parameters need. */
function requireRoom(gpu: Gpu, size: number, parameters: number): void {
  const { device, adapter } = gpu;
  const needed = size * ELEMENT_BYTES.f32;
  const available = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  if (needed <= available) return;
  gpu.memory.refuse(
    new CapacityError(
      `model: its ${formatCount(parameters)} parameters need ${formatBytes(needed)} in one buffer, but ${adapter.name} allows ` +
        `${formatBytes(available)}: a model of up to ${formatCount(available / ELEMENT_BYTES.f32)} parameters fits`,
    ),
  );
}

/** Makes the present parameters the starting point of distances. */
export function markStart({ gpu, values, start }: ModelState): void {
  gpu.copy(values, start);
}

/** The velocity of a new model: zeros. */
export function resetVelocity({ gpu, velocity }: ModelState): void {
  gpu.write(velocity, new Float32Array(velocity.size));
}

/**
 * Updates the running statistics of every layer from the ghost batches of a whole batch: one dispatch.
 *
 * @param ghosts those of the whole batch, whatever slabs it was processed in
 * @throws UsageError for the rule `paper-literal`, which averages √(variance + eps), where layers differ in eps
 */
export function updateRunningStatistics(
  state: ModelState,
  ghosts: { ghostSize: number; ghosts: number; total: number },
  { rule, momentum }: { rule: RunningRule; momentum: number },
): void {
  const { normState, gpu } = state;
  if (!normState) return;
  const [eps, ...others] = new Set(state.norms.map(([, norm]) => norm.eps));
  if (rule === "paper-literal" && others.length > 0) {
    throw new UsageError(
      `running statistics by ${rule}: expected one eps for all batch norms, got ${[eps, ...others].join(", ")}: ` +
        "use the same eps in every GhostBatchNorm, or another rule",
    );
  }
  const pixels = new Uint32Array(normState.channels);
  for (const [, norm] of state.norms)
    pixels.fill(norm.pixels, norm.firstChannel, norm.firstChannel + norm.channels);
  gpu.writeOnce(normState.pixels, pixels); // shapes of a recorded step do not change
  launchRunningStatistics({ ...normState, ghosts }, { rule, momentum, eps: eps! });
}

function placeNorms(gpu: Gpu, norms: readonly NormStatistics[], rows: number): NormState | null {
  const channels = norms.reduce((sum, norm) => sum + norm.channels, 0);
  if (channels === 0) return null;
  const state: NormState = {
    statistics: persistent(gpu, [rows, channels, 2], { label: "batch statistics" }),
    runningMean: persistent(gpu, [channels], { label: "running mean" }),
    runningVariance: persistent(gpu, [channels], { label: "running variance" }),
    pixels: persistent(gpu, [channels], { dtype: "u32", label: "pixels" }),
    channels,
  };
  gpu.write(state.runningVariance, new Float32Array(channels).fill(1));
  let firstChannel = 0;
  for (const norm of norms) {
    norm.place(state, firstChannel);
    firstChannel += norm.channels;
  }
  return state;
}
