/** Launcher of the sum over rows: the gradient of a bias, and the partial sums of a matmul that is cut along K. */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { floatType } from "./element.ts";
import { flatGrid } from "./grid.ts";

const SUM_ROWS = defineKernel({
  file: "reduce/sum-rows.wgsl",
  bindings: ["x", "y"],
  overrides: ["ACCUMULATE"],
  params: ["rows", "columns"],
  spec: ["COLUMNS", "LANES", "StoredX", "StoredY"],
});

/** Up to this many rows, one lane adds a column: a second level would cost more than it saves. */
const FEW_ROWS = 32;

interface Tile {
  readonly COLUMNS: number;
  readonly LANES: number;
}

const TILES: ByVariant<{ readonly few: Tile; readonly many: Tile }> = {
  narrow: { few: { COLUMNS: 8, LANES: 1 }, many: { COLUMNS: 8, LANES: 1 } },
  wide: { few: { COLUMNS: 64, LANES: 1 }, many: { COLUMNS: 16, LANES: 16 } },
};

/**
 * y[j] = Σ_i x[i, j], in a fixed order.
 *
 * @param x           [rows, …], f32 or f16
 * @param y           […], f32 or f16, of x.size / rows numbers in all; written, or added to
 * @param accumulate  add to what y holds
 * @param choice      tuning key of the launch to which this one belongs
 */
export function launchSumRows(
  { x, y }: { x: Tensor; y: Tensor },
  { accumulate = false, choice }: { accumulate?: boolean; choice?: string } = {},
): void {
  const columns = y.size;
  const rows = x.size / columns;
  const { few, many } = TILES[x.gpu.baseVariant];
  const spec = rows <= FEW_ROWS ? few : many;
  x.gpu.run(SUM_ROWS, {
    buffers: { x, y },
    overrides: { ACCUMULATE: accumulate },
    params: { rows, columns },
    spec: { ...spec, StoredX: floatType("sumRows", { x }), StoredY: floatType("sumRows", { y }) },
    workgroups: flatGrid(columns, spec.COLUMNS),
    cost: { flops: x.size, bytes: x.byteLength + (accumulate ? 2 : 1) * y.byteLength },
    ...(choice !== undefined && { choice }),
  });
}
