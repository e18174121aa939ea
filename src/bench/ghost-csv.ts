/** The results of `bench gbn` for programs: columns with Python-style names, a header line, and nothing else. */
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { GhostRow } from "./ghost-cost.ts";
import { csv } from "./output.ts";

/** Times in ms, sizes in bytes; pandas.read_csv reads it without options. */
export function ghostCsv(
  adapter: Pick<AdapterFacts, "name" | "software">,
  rows: readonly GhostRow[],
): string {
  return csv(adapter, rows.map(flat));
}

function flat(row: GhostRow): Record<string, string | number> {
  const { ms } = row;
  return {
    ...{ channels: row.channels, height: row.height, width: row.width },
    ...{ batch_size: row.batch, ghost_size: row.ghostSize, variant: row.variant, direction: row.direction },
    ...{ dispatches: row.dispatches, bytes: row.bytes, bytes_per_element: row.bytesPerElement },
    ...{ n: ms.n, median_ms: ms.median, low_ms: ms.low, high_ms: ms.high, model_ms: row.modelMs },
    ...{ gigabytes_per_second: row.gigabytesPerSecond, copy_share: row.copyShare },
  };
}
