/**
 * Gradients of parameters often come as partial sums: of runs of pixels, of ghosts. In a recorded step the partial sums of all
 * layers lie in one scratch memory and are added up by one dispatch, when the backward pass is through. Elsewhere each is added up
 * at once, by the same kernel: the same bits.
 */
import { aligned } from "../gpu/storage.ts";
import { launchSumSegments, type SumSegment } from "../kernels/sum-segments.ts";
import { sizeOf } from "../tensor/shape.ts";
import { empty, type FloatType, slice, type Tensor } from "../tensor/tensor.ts";
import type { Destination } from "./destination.ts";

/**
 * Bytes of partial sums that wait at most: with more, there are several dispatches. By the type of the activations: in f32 what a large
 * one takes; in f16, whose steps have half the memory and the same sums, a quarter of that.
 */
const MOST_BYTES: Readonly<Record<FloatType, number>> = { f32: 2 ** 26, f16: 2 ** 24 };

/** What to sum of a tensor of partial sums: `rows` rows, by default of as many numbers as go to y and one behind the other. */
export interface PartialSums {
  readonly partials: Tensor;
  readonly rows: number;
  /** Numbers before the first row. */
  readonly offset?: number;
  readonly rowStride?: number;
  readonly columnStride?: number;
}

export class DeferredSums {
  #scratch: Tensor | null = null;
  #used = 0;
  #waiting: SumSegment[] = [];
  readonly #columns = new Map<Tensor, PartialSums>();

  /** Memory for partial sums of products with an activation, which `add` is then told of. */
  scratch({ gpu, dtype }: Tensor, shape: readonly number[], label: string): Tensor {
    const bytes = aligned(4 * sizeOf(shape));
    const wanted = MOST_BYTES[dtype === "f16" ? "f16" : "f32"];
    const most = Math.min(wanted, gpu.device.limits.maxStorageBufferBindingSize);
    if (!gpu.recorder || bytes > most) return empty(gpu, shape, "f32", label);
    if (this.#used + bytes > Math.min(most, this.#scratch?.byteLength ?? most)) this.flush();
    this.#scratch ??= empty(gpu, [most / 4], "f32", "partial sums of gradients");
    const place = slice(this.#scratch, this.#used / 4, shape);
    this.#used += bytes;
    return place;
  }

  /** Writes or adds the sum of the rows to a gradient: at once, or to that of a parameter by the end of the backward pass. */
  add(sum: PartialSums, { tensor: y, accumulate, ofParameter }: Destination): void {
    const { partials, rows, offset = 0, rowStride = y.size, columnStride = 1 } = sum;
    const segment = { rows, rowStride, columnStride, y, accumulate };
    if (!ofParameter || this.#scratch?.storage !== partials.storage) {
      launchSumSegments(partials, [{ ...segment, offset }]);
      return;
    }
    this.settle(y);
    this.#waiting.push({ ...segment, offset: partials.byteOffset / 4 + offset });
  }

  /** Sees to it that y holds its sums, for whoever reads or adds to it. */
  settle(y: Tensor): void {
    const overlaps = ({ y: other }: SumSegment) =>
      other.storage === y.storage &&
      other.byteOffset < y.byteOffset + y.byteLength &&
      y.byteOffset < other.byteOffset + other.byteLength;
    if (this.#waiting.some(overlaps)) this.flush();
  }

  /** Adds up what waits. */
  flush(): void {
    if (!this.#scratch) return;
    const waiting = this.#waiting;
    const scratch = slice(this.#scratch, 0, [this.#used / 4]);
    scratch.storage.shrink(scratch.byteLength);
    this.#scratch = null;
    this.#used = 0;
    this.#waiting = [];
    this.#columns.clear();
    if (waiting.length > 0) launchSumSegments(scratch, waiting);
  }

  /** Notes partial sums over the samples of `gradient`, which the kernel that made it has in hand. */
  leaveColumns(gradient: Tensor, sums: PartialSums): void {
    this.#columns.set(gradient, sums);
  }

  /** Partial sums over the samples of `gradient`, where `leaveColumns` has noted any. */
  columnsOf(gradient: Tensor): PartialSums | null {
    return this.#columns.get(gradient) ?? null;
  }

  /** Forgets them: something is about to be added to `gradient`. */
  forgetColumns(gradient: Tensor): void {
    this.#columns.delete(gradient);
  }
}
