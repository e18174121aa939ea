import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";

const ACCUMULATE = defineKernel({
  file: "metrics/accumulate.wgsl",
  bindings: ["rows", "log_rows", "step"],
  overrides: ["N", "ROWS", "ACCUMULATE"],
  params: ["count"],
});

/**
 * Sums the rows of a batch into the step's row of the log.
 *
 * @param rows [N, 4] of softmax-cross-entropy
 * @param log  [ROWS, 8]; row step mod ROWS gets loss, top-1 hits, top-5 hits and samples in fields 0 to 3
 * @param step the Step uniform
 */
export function launchMetrics(
  { rows, log, step }: { rows: Tensor; log: Tensor; step: Tensor },
  { accumulate }: { accumulate: boolean },
): void {
  const N = rows.shape[0]!;
  rows.gpu.run(ACCUMULATE, {
    buffers: { rows, log_rows: log, step },
    overrides: { N, ROWS: log.shape[0]!, ACCUMULATE: accumulate },
    params: { count: N },
    workgroups: [1],
    cost: { flops: 4 * N, bytes: 16 * N },
  });
}
