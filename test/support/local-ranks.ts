// Ranks inside one process, which exchange their values through memory.
import type { Communicator } from "../../src/train/communicator.ts";

interface Round {
  readonly parts: unknown[];
  readonly complete: Promise<void>;
  readonly finish: () => void;
}

/** A communicator for each rank; their calls are matched by their order. */
export function localRanks(size: number): Communicator[] {
  const rounds: Round[] = [];
  const hosts = Array.from({ length: size }, () => "here");
  return hosts.map((_, rank) => {
    let calls = 0;
    const share = async <T>(part: T): Promise<T[]> => {
      const index = calls++;
      rounds[index] ??= newRound();
      const { parts, complete, finish } = rounds[index];
      parts[rank] = part;
      if (Object.keys(parts).length === size) finish();
      await complete;
      return parts as T[];
    };
    return {
      rank,
      size,
      hosts,
      sum: async (values) => {
        const parts = (await share(values.slice())).map((part) => part.slice());
        for (let d = 1; d < size; d *= 2)
          for (let k = 0; k + d < size; k += 2 * d)
            for (let i = 0; i < values.length; i++) parts[k]![i] = parts[k]![i]! + parts[k + d]![i]!;
        return parts[0]!;
      },
      gather: async (own) => {
        const parts = await share(own.slice());
        const all = new Uint8Array(size * own.length);
        for (const [index, part] of parts.entries()) all.set(part, index * own.length);
        return all;
      },
      broadcast: async (bytes) => (await share(bytes))[0]!,
      abort: () => {
        throw new Error(`rank ${rank} aborts`);
      },
    };
  });
}

function newRound(): Round {
  let finish = () => {};
  const complete = new Promise<void>((resolve) => {
    finish = resolve;
  });
  return { parts: [], complete, finish };
}
