/** Launchers for sharded batches; the tree of gradient sums is made of these and of `launchAdd`. */
import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const ZERO = defineKernel({ file: "shards/zero.wgsl", bindings: ["y"], params: ["count"] });

const COPY = defineKernel({ file: "shards/copy.wgsl", bindings: ["x", "y"], params: ["count"] });

const METRICS = defineKernel({
  file: "shards/metrics.wgsl",
  bindings: ["shards", "log_rows", "step"],
  overrides: ["ROWS"],
  params: ["count"],
});

/** Numbers in a shard's row of metrics; 256 bytes, so that each row can be bound separately. */
export const SHARD_ROW = 64;

/** y = 0; its size is a multiple of 4. */
export function launchZero({ y }: { y: Tensor }): void {
  const count = y.size / 4;
  y.gpu.run(ZERO, {
    buffers: { y },
    params: { count },
    workgroups: flatGrid(count),
    cost: { flops: 0, bytes: 4 * y.size },
  });
}

/** y = x, of one size, a multiple of 4. */
export function launchCopy(t: { x: Tensor; y: Tensor }): void {
  const count = t.y.size / 4;
  t.y.gpu.run(COPY, {
    buffers: t,
    params: { count },
    workgroups: flatGrid(count),
    cost: { flops: 0, bytes: 8 * t.y.size },
  });
}

/**
 * Adds the metrics of all shards of a batch, in order.
 *
 * @param shards [P, SHARD_ROW], each row as `launchMetrics` leaves it
 * @param log    [ROWS, 8]; row step mod ROWS gets loss, top-1 hits, top-5 hits and samples in fields 0 to 3
 * @param step   the Step uniform
 */
export function launchShardMetrics({
  shards,
  log,
  step,
}: {
  shards: Tensor;
  log: Tensor;
  step: Tensor;
}): void {
  const count = shards.shape[0]!;
  log.gpu.run(METRICS, {
    buffers: { shards, log_rows: log, step },
    overrides: { ROWS: log.shape[0]! },
    params: { count },
    workgroups: [1],
    cost: { flops: 4 * count, bytes: 16 * count },
  });
}
