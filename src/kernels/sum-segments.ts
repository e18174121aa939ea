/** Launcher of the sum over the rows of many matrices: it adds the partial sums of all layers' gradients. */
import { defineKernel } from "../gpu/kernel.ts";
import type { BufferView, Storage } from "../gpu/storage.ts";
import type { ByVariant } from "../gpu/variant.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const SUM_SEGMENTS = defineKernel({
  file: "reduce/sum-segments.wgsl",
  bindings: ["x", "segments", "y"],
  params: ["segments"],
  spec: ["COLUMNS", "LANES"],
});

// Narrow: a lane for each column, since barriers cost more than additions. Wide: a matrix may have a thousand rows.
const TILES: ByVariant<{ readonly COLUMNS: number; readonly LANES: number }> = {
  narrow: { COLUMNS: 8, LANES: 1 },
  wide: { COLUMNS: 16, LANES: 16 },
};

/** y[j] = Σ_i x[offset + i · rowStride + j · columnStride], in a fixed order. */
export interface SumSegment {
  /** First number within x. */
  readonly offset: number;
  readonly rows: number;
  readonly rowStride: number;
  readonly columnStride: number;
  /** Where the sums go: y.size columns. */
  readonly y: Tensor;
  /** Adds to what y holds. */
  readonly accumulate: boolean;
}

/**
 * Sums over rows, in one dispatch for each storage that they go to.
 *
 * @param x        the tensor that contains all segments
 * @param segments each with a different y
 */
export function launchSumSegments(x: Tensor, segments: readonly SumSegment[]): void {
  const { gpu } = x;
  const spec = TILES[gpu.baseVariant];
  const targets = new Map<Storage, SumSegment[]>();
  for (const segment of segments) {
    const { storage } = segment.y;
    targets.set(storage, [...(targets.get(storage) ?? []), segment]);
  }
  for (const [storage, own] of targets) {
    const y: BufferView = { storage, byteOffset: 0, byteLength: storage.bytes };
    let workgroups = 0;
    let bytes = 0;
    let flops = 0;
    const words = own.flatMap(({ offset, rows, rowStride, columnStride, y, accumulate }) => {
      const first = workgroups;
      workgroups += Math.ceil(y.size / spec.COLUMNS);
      flops += rows * y.size;
      bytes += 4 * (rows + (accumulate ? 2 : 1)) * y.size;
      return [first, offset, rows, y.size, rowStride, columnStride, y.byteOffset / 4, accumulate ? 1 : 0];
    });
    const table = gpu.constant(Uint32Array.from(words), "segments");
    gpu.run(SUM_SEGMENTS, {
      buffers: { x, segments: { storage: table, byteOffset: 0, byteLength: table.bytes }, y },
      params: { segments: own.length },
      spec,
      workgroups: flatGrid(workgroups, 1),
      cost: { flops, bytes },
    });
  }
}
