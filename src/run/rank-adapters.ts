import { UsageError } from "../support/errors.ts";
import type { Communicator } from "../train/communicator.ts";
import { gatherValues } from "./ranks.ts";

/** The GPU of one rank, as `doctor` shows it. */
export interface RankAdapter {
  readonly rank: number;
  readonly host: string;
  readonly adapter: string;
  readonly software: boolean;
  readonly pci: string | null;
  /** How it was chosen. */
  readonly by: string;
}

/** The GPUs of all ranks; every rank gets the list. */
export function rankAdapters(
  communicator: Communicator,
  own: Omit<RankAdapter, "rank" | "host">,
): Promise<RankAdapter[]> {
  const { rank, hosts } = communicator;
  return gatherValues(communicator, { rank, host: hosts[rank]!, ...own });
}

/** @throws UsageError if two ranks share, or may share, one hardware GPU */
export function requireOwnAdapters(adapters: readonly RankAdapter[]): void {
  const seen = new Map<string, RankAdapter>();
  for (const one of adapters) {
    if (one.software) continue;
    const key = `${one.host} ${one.pci ?? one.adapter}`;
    const other = seen.get(key);
    seen.set(key, one);
    if (!other) continue;
    const where = one.pci ?? `which of them each has cannot be told: ${one.by}`;
    throw new UsageError(
      `ranks ${other.rank} and ${one.rank} on ${one.host} use the same GPU, ${one.adapter} (${where}): give each rank one of its own, as ` +
        "`srun --gpus-per-task=1` does, or set DRI_PRIME to its PCI address (docs/DISTRIBUTED.md); --share-adapter allows it",
    );
  }
}
