/**
 * How the processes of one run talk to each other: what training knows of them. A host implements it, e.g. on MPI
 * (src/host/node/mpi/). All ranks call `sum`, `gather` and `broadcast` in the same order, with the same lengths.
 */
export interface Communicator {
  /** Which of the ranks this process is, from 0. */
  readonly rank: number;
  /** How many ranks there are. */
  readonly size: number;
  /** Machine of each rank. */
  readonly hosts: readonly string[];
  /**
   * Adds up the values of all ranks, element by element, in a fixed binary tree: (r₀ + r₁) + (r₂ + r₃), … The order does not
   * depend on the network, so the bits do not either. Takes the array's memory for as long as it runs and returns it with the sums.
   * @param values the length is a multiple of the number of ranks
   */
  sum(values: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>>;
  /** The bytes of all ranks, one after the other; all of one length. */
  gather(own: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** The bytes of rank 0; what the others give is ignored. */
  broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends the processes of all ranks at once, this one included. */
  abort(exitCode: number): void;
}

/** One process by itself: what it is told comes back as it is. */
export const ALONE: Communicator = {
  rank: 0,
  size: 1,
  hosts: [""],
  sum: async (values) => values,
  gather: async (own) => own,
  broadcast: async (bytes) => bytes,
  abort: () => undefined,
};

/** "rank 3 (node7)". */
export function rankName({ hosts }: Pick<Communicator, "hosts">, rank: number): string {
  return `rank ${rank} (${hosts[rank]})`;
}
