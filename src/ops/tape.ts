/**
 * Reverse-mode differentiation. While a tape records, each op pushes one entry: its inputs, its output and a
 * closure that turns the output's gradient into the inputs'. `backward` pops the entries in reverse; a popped
 * entry drops its closure, and with it the last use of what it saved.
 *
 * Two rules keep gradients right:
 * - A tensor used twice gets the sum. An op may pass on the gradient it was given (an addition does, to both
 *   inputs), so a gradient is only ever added to in place when the tape itself made that memory (`destination`).
 * - A parameter's gradient is written straight to its place in the flat gradient: the first write of a step
 *   overwrites, later ones (a second use, a further slab) accumulate. One that is passed on is copied or added there.
 */
import { launchAdd } from "../kernels/elementwise.ts";
import { launchSumRows } from "../kernels/sum-rows.ts";
import { ShapeError, UsageError } from "../support/errors.ts";
import { expectShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { DeferredSums } from "./deferred-sums.ts";
import type { Destination, DestinationOf } from "./destination.ts";

type Gradients<I extends readonly Tensor[]> = { readonly [K in keyof I]: Tensor | null };

interface Entry {
  readonly op: string;
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly backward: (
    dy: Tensor,
    destination: DestinationOf,
    sums: DeferredSums,
  ) => readonly (Tensor | null)[];
}

/** The tape that ops push to. Ops are synchronous, so one variable is enough; `record` sets and restores it. */
let recording: Tape | null = null;

export class Tape {
  readonly #entries: Entry[] = [];
  readonly #gradients = new Map<Tensor, { tensor: Tensor; owned: boolean }>();
  readonly #written = new Set<Tensor>();
  readonly #sums = new DeferredSums();
  readonly #accumulate: boolean;

  /** @param accumulate adds to the parameters' gradients from the start: slabs after the first of a batch */
  constructor({ accumulate = false }: { accumulate?: boolean } = {}) {
    this.#accumulate = accumulate;
  }

  /** Runs `body` with its ops on this tape. */
  record<T>(body: () => T): T {
    const outer = recording;
    recording = this;
    try {
      return body();
    } finally {
      recording = outer;
    }
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
  }

  /**
   * Propagates `dy`, the gradient of `output`, to all tensors that it was computed from. Once: the tape is empty afterwards.
   * @throws ShapeError unless dy has output's shape and type; UsageError if this tape did not record how output was computed
   */
  backward(output: Tensor, dy: Tensor): void {
    expectGradient("Tape.backward: dy", dy, output);
    if (!this.#entries.some((entry) => entry.output === output)) {
      throw new UsageError(
        `Tape.backward: this tape did not record how ${output.storage.label} was computed from anything that requires a ` +
          "gradient: compute it inside record(), and call backward once",
      );
    }
    this.#gradients.set(output, { tensor: dy, owned: false });
    for (let entry = this.#entries.pop(); entry; entry = this.#entries.pop()) {
      const gradient = this.#gradients.get(entry.output);
      this.#gradients.delete(entry.output);
      if (!gradient) continue;
      const issued = new Map<Tensor, Tensor>();
      const results = entry.backward(
        gradient.tensor,
        (input, { inPlace = false } = {}) =>
          this.#destination(input, issued, inPlace && gradient.owned ? gradient.tensor : null),
        this.#sums,
      );
      const given = entry.inputs.map((input, index) => [input, results[index]] as const);
      for (const [index, [input, result]] of given.entries())
        if (result) expectGradient(`${entry.op}: gradient of input ${index}`, result, input);
      const written = ([input, result]: (typeof given)[number]) => result && issued.get(input) === result;
      for (const [input, result] of given.filter(written)) this.#keep(input, result!);
      for (const [input, result] of given.filter((one) => !written(one)))
        if (result) this.#add(input, result);
    }
    this.#sums.flush();
  }

  /** The gradient of a tensor that no op made: an input that was marked as requiring one. */
  gradientOf(leaf: Tensor): Tensor | null {
    return leaf.gradient ?? this.#gradients.get(leaf)?.tensor ?? null;
  }

  /**
   * @param issued destinations already given to this op. None is given twice, since one kernel may write two gradients at once
   * @param spare  memory of the tape that nothing else uses now
   */
  #destination(input: Tensor, issued: Map<Tensor, Tensor>, spare: Tensor | null): Destination | null {
    if (!input.requiresGradient) return null;
    const known = this.#gradients.get(input);
    const fresh = () => empty(input.gpu, input.shape, input.dtype, "gradient");
    // Already issued, or shared: the tape adds the two afterwards.
    if (issued.has(input) || known?.owned === false)
      return { tensor: fresh(), accumulate: false, ofParameter: false };
    const tensor = input.gradient ?? known?.tensor ?? spare ?? fresh();
    if (known || tensor === spare) this.#sums.forgetColumns(tensor);
    if (input.gradient) this.#sums.settle(tensor);
    issued.set(input, tensor);
    const accumulate = input.gradient ? this.#holdsGradient(input) : known !== undefined;
    return { tensor, accumulate, ofParameter: input.gradient !== null };
  }

  /** Whether a parameter already has a gradient to add to. */
  #holdsGradient(parameter: Tensor): boolean {
    return this.#accumulate || this.#written.has(parameter);
  }

  /** Notes that an op has written a destination. */
  #keep(input: Tensor, gradient: Tensor): void {
    if (input.gradient) this.#written.add(input);
    else this.#gradients.set(input, { tensor: gradient, owned: true });
  }

  /** Adds a gradient that an op has written elsewhere. */
  #add(input: Tensor, gradient: Tensor): void {
    if (!input.requiresGradient) return;
    if (input.gradient) {
      this.#sums.settle(input.gradient);
      // One row, which is its own sum.
      launchSumRows({ x: gradient, y: input.gradient }, { accumulate: this.#holdsGradient(input) });
      this.#written.add(input);
      return;
    }
    const known = this.#gradients.get(input);
    if (!known) {
      this.#gradients.set(input, { tensor: gradient, owned: false });
      return;
    }
    const sum = empty(input.gpu, input.shape, input.dtype, "gradient");
    launchAdd({ a: known.tensor, b: gradient, y: sum });
    this.#gradients.set(input, { tensor: sum, owned: true });
  }
}

/**
 * Says how an op is differentiated. Does nothing when no tape records or no input needs a gradient.
 *
 * @param backward gets dy and `destination`; returns one gradient per input, null where none is needed. A gradient
 *   is either the tensor of the input's destination, now written, or an existing one (dy itself, or a view of it). Sums that reach
 *   a destination through `sums` are complete at the end of the backward pass.
 */
export function differentiable<const I extends readonly Tensor[]>(
  op: string,
  inputs: I,
  output: Tensor,
  backward: (dy: Tensor, destination: DestinationOf, sums: DeferredSums) => Gradients<I>,
): void {
  if (!recording || !inputs.some((input) => input.requiresGradient)) return;
  output.requiresGradient = true;
  recording.push({ op, inputs, output, backward });
}

/** @throws ShapeError unless `gradient` is one of `tensor`; that of a parameter is f32, and added in that type, whatever it arrives in */
function expectGradient(what: string, gradient: Tensor, tensor: Tensor): void {
  expectShape(what, gradient.shape, tensor.shape);
  if (gradient.dtype !== tensor.dtype && !tensor.gradient)
    throw new ShapeError(`${what}: expected ${tensor.dtype}, got ${gradient.dtype}`);
}
