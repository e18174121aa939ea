/** What DEBUG=2 prints. */
import type { DispatchTime } from "./profiler.ts";
import { type Roofline, shareOfRoofline } from "./roofline.ts";

/** One line per dispatch with its rate and share of the adapter's roofline, and the running total. */
export function printDispatches(times: readonly DispatchTime[], roofline: Roofline): void {
  let total = 0;
  for (const { kernel, buffers, workgroups, ms, cost } of times) {
    total += ms;
    const rate = `${(cost.flops / ms / 1e6).toFixed(2)} GFLOP/s ${(cost.bytes / ms / 1e6).toFixed(2)} GB/s`;
    const share = `${(100 * shareOfRoofline(cost, ms, roofline)).toFixed(0)} % of roofline`;
    const grid = `grid ${workgroups.join(" × ")}`;
    console.error(
      `${kernel} ${buffers.join(" ")} ${grid} ${ms.toFixed(3)} ms ${rate} ${share} total ${total.toFixed(2)} ms`,
    );
  }
}
