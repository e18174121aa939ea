import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const RESTORE = defineKernel({
  file: "skip/restore.wgsl",
  bindings: ["x", "clip", "y"],
  overrides: ["SIZE", "ALWAYS"],
});

/** y ← x in a skipped step, or in any step with `always`; x and y have the same size, `clip` [2] is that of launchClip. */
export function launchRestore(
  { x, clip, y }: { x: Tensor; clip: Tensor; y: Tensor },
  { always }: { always: boolean },
): void {
  const SIZE = x.size;
  x.gpu.run(RESTORE, {
    buffers: { x, clip, y },
    overrides: { SIZE, ALWAYS: always },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: 8 * SIZE },
  });
}
