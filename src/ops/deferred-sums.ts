/**
 * Gradients of parameters often arrive as partial sums, one per run of pixels or per ghost. In a recorded step the partial sums of all
 * layers are in one scratch tensor and are added by one dispatch at the end of the backward pass. Elsewhere each is added
 * at once by the same kernel, so the bits are the same.
 */
import { aligned } from "../gpu/storage.ts";
import { launchSumSegments, type SumSegment } from "../kernels/sum-segments.ts";
import { sizeOf } from "../tensor/shape.ts";
import { empty, type FloatType, slice, type Tensor } from "../tensor/tensor.ts";
import type { Destination } from "./destination.ts";

/**
 * The most bytes of partial sums that wait; beyond it there are several dispatches. Depends on the type of activations: in f32 what a large
 * one takes; in f16, whose steps have half the memory and the same sums, a quarter of that.
 */
const MOST_BYTES: Readonly<Record<FloatType, number>> = { f32: 2 ** 26, f16: 2 ** 24 };

/** The part of a tensor of partial sums to add: `rows` rows, by default contiguous and as long as y. */
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

  /** Memory for partial sums of products with an activation; pass it to `add` afterwards. */
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

  /** Writes the sum of the rows to a gradient, or adds it: at once, or for a parameter by the end of the backward pass. */
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

  /** Makes sure that y holds its sums before something reads it or adds to it. */
  settle(y: Tensor): void {
    const overlaps = ({ y: other }: SumSegment) =>
      other.storage === y.storage &&
      other.byteOffset < y.byteOffset + y.byteLength &&
      y.byteOffset < other.byteOffset + other.byteLength;
    if (this.#waiting.some(overlaps)) this.flush();
  }

  /** Adds all waiting partial sums. */
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

  /** Notes partial sums over the samples of `gradient`, computed by the kernel that made it. */
  leaveColumns(gradient: Tensor, sums: PartialSums): void {
    this.#columns.set(gradient, sums);
  }

  /** Partial sums over the samples of `gradient`, if `leaveColumns` has noted any. */
  columnsOf(gradient: Tensor): PartialSums | null {
    return this.#columns.get(gradient) ?? null;
  }

  /** Forgets them, because something is about to be added to `gradient`. */
  forgetColumns(gradient: Tensor): void {
    this.#columns.delete(gradient);
  }
}
