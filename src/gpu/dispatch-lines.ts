/** What DEBUG=2 prints. */
import type { DispatchDescription, DispatchTime } from "./profiler.ts";
import { type Roofline, shareOfRoofline } from "./roofline.ts";

/** One line per dispatch with its rate and share of the adapter's roofline, and the running total. */
export function printDispatches(times: readonly DispatchTime[], roofline: Roofline): void {
  let total = 0;
  for (const dispatch of times) {
    const { ms, cost } = dispatch;
    total += ms;
    const rate = `${(cost.flops / ms / 1e6).toFixed(2)} GFLOP/s ${(cost.bytes / ms / 1e6).toFixed(2)} GB/s`;
    const share = `${(100 * shareOfRoofline(cost, ms, roofline)).toFixed(0)} % of roofline`;
    console.error(`${described(dispatch)} ${ms.toFixed(3)} ms ${rate} ${share} total ${total.toFixed(2)} ms`);
  }
}

/** The same for an adapter that cannot time a step without delaying it. */
export function printUntimedDispatches(
  dispatches: readonly DispatchDescription[],
  adapterName: string,
): void {
  for (const dispatch of dispatches) console.error(described(dispatch));
  console.error(`no times: they need the feature "timestamp-query", which ${adapterName} does not have`);
}

function described({ kernel, buffers, workgroups }: DispatchDescription): string {
  return `${kernel} ${buffers.join(" ")} grid ${workgroups.join(" × ")}`;
}
