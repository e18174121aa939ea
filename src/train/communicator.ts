/**
 * Communication between the processes of a run, as training sees it. A host implements it, e.g. on MPI
 * (src/host/node/mpi/). All ranks call `sum`, `gather` and `broadcast` in the same order, with the same lengths.
 */
export interface Communicator {
  /** This process's rank, from 0. */
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** Host name of each rank. */
  readonly hosts: readonly string[];
  /**
   * Adds up the values of all ranks, element by element, in a fixed binary tree: (r₀ + r₁) + (r₂ + r₃), … The order does not
   * depend on the network, so the bits do not either. Uses the array's memory until it is done, and returns it with the sums.
   * @param values the length is a multiple of the number of ranks
   */
  sum(values: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>>;
  /** The bytes of all ranks, concatenated; all have the same length. */
  gather(own: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** The bytes of rank 0; the others' argument is ignored. */
  broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Ends the processes of all ranks at once, this one included. */
  abort(exitCode: number): void;
}

/** A single process: every call returns its argument. */
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
