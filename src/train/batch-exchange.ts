/** Exchanges a batch's results between ranks: the gradients and metrics of their shards, and the statistics of their ghosts. */
import { Snapshot } from "../gpu/snapshot.ts";
import type { BufferView } from "../gpu/storage.ts";
import { SHARD_ROW } from "../kernels/shards.ts";
import type { ModelState } from "../nn/model-state.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Communicator } from "./communicator.ts";
import type { GhostLayout } from "./ghosts.ts";
import { type BatchShare, type ShardRange, shareOf } from "./shards.ts";

const FLOAT = Float32Array.BYTES_PER_ELEMENT;
const ROW_BYTES = SHARD_ROW * FLOAT;

export interface ExchangedTensors {
  /** [size]: the sum over this rank's shards; null if only statistics are exchanged. */
  readonly gradient: Tensor | null;
  /** [P, SHARD_ROW]: metrics of the shards. */
  readonly metrics: Tensor;
}

/** The exchange for batches of one layout. */
export class BatchExchange {
  readonly #state: ModelState;
  readonly #communicator: Communicator;
  readonly #tensors: ExchangedTensors;
  readonly #range: ShardRange;
  /** The part of the batch that each rank has. */
  readonly #shares: readonly BatchShare[];
  readonly #snapshot: Snapshot;
  /** Size of that part's data, bytes. */
  readonly #sizes: readonly number[];
  #parts: ArrayBuffer[] | null = null;
  /** This rank's vote, metrics of its shards and statistics of its ghosts, with room for the largest rank's. */
  readonly #own: Uint8Array<ArrayBuffer>;
  /** This rank's gradient, then the sum; padded with zeros to a multiple of the number of ranks. */
  #gradient: Float32Array<ArrayBuffer>;

  constructor(
    state: ModelState,
    layout: GhostLayout,
    options: ExchangedTensors & { readonly communicator: Communicator; readonly range: ShardRange },
  ) {
    const { communicator, range, ...tensors } = options;
    const { rank, size } = communicator;
    this.#state = state;
    this.#communicator = communicator;
    this.#tensors = tensors;
    this.#range = range;
    this.#shares = Array.from({ length: size }, (_, r) =>
      shareOf(layout, { ...range, first: r * range.own }),
    );
    const most = Math.max(...this.#shares.map(({ ghosts }) => ghosts));
    this.#own = new Uint8Array(ROW_BYTES * (1 + range.own) + most * this.#rowBytes);
    const length = tensors.gradient === null ? 0 : tensors.gradient.size;
    this.#gradient = new Float32Array(Math.ceil(length / size) * size);
    const statistics = this.#statisticsOf(rank);
    const views = [
      this.#metricsOf(rank),
      ...(statistics.byteLength > 0 ? [statistics] : []),
      ...(tensors.gradient === null ? [] : [tensors.gradient]),
    ];
    this.#sizes = views.map(({ byteLength }) => byteLength);
    this.#snapshot = new Snapshot(state.gpu, views);
  }

  /**
   * Writes the sum of all ranks' gradients to the flat gradients, and all ranks' metrics and statistics to their places, in
   * order with the work on the queue.
   * @param vote a message to the other ranks, a 32-bit integer
   * @param meanwhile is called during the exchange
   * @returns the votes of all ranks
   */
  async run(vote: number, meanwhile: () => void = () => undefined): Promise<Uint32Array> {
    const { gpu, gradients } = this.#state;
    this.#parts = await this.#snapshot.take(this.#room());
    this.#pack(vote, this.#parts);
    const sum = this.#tensors.gradient === null ? null : this.#communicator.sum(this.#gradient);
    const gather = this.#communicator.gather(this.#own);
    const done = Promise.all([sum, gather]);
    meanwhile();
    const [summed, all] = await done;
    if (summed) {
      this.#gradient = summed;
      gpu.write(gradients, summed.subarray(0, gradients.size));
    }
    return this.#unpack(all);
  }

  #pack(vote: number, parts: readonly ArrayBuffer[]): void {
    const own = this.#own;
    new DataView(own.buffer).setUint32(0, vote, true);
    own.set(new Uint8Array(parts[0]!), ROW_BYTES);
    const statistics = this.#statisticsOf(this.#communicator.rank);
    if (statistics.byteLength > 0) own.set(new Uint8Array(parts[1]!), this.#statisticsStart);
  }

  /** The snapshot's target: the gradient goes where it is summed, the rest where the last one was. */
  #room(): ArrayBuffer[] | null {
    if (this.#tensors.gradient === null) return this.#parts;
    const parts = this.#parts ?? this.#sizes.map((bytes) => new ArrayBuffer(bytes));
    return [...parts.slice(0, -1), this.#gradient.buffer];
  }

  #unpack(all: Uint8Array<ArrayBuffer>): Uint32Array {
    const { gpu } = this.#state;
    const length = this.#own.length;
    const votes = new Uint32Array(this.#shares.length);
    for (const rank of this.#shares.keys()) {
      const message = all.subarray(rank * length, (rank + 1) * length);
      votes[rank] = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
      gpu.write(this.#metricsOf(rank), message.subarray(ROW_BYTES, this.#statisticsStart));
      const statistics = this.#statisticsOf(rank);
      if (statistics.byteLength === 0) continue;
      const start = this.#statisticsStart;
      gpu.write(statistics, message.subarray(start, start + statistics.byteLength));
    }
    return votes;
  }

  get #statisticsStart(): number {
    return ROW_BYTES * (1 + this.#range.own);
  }

  /** Bytes of one ghost's statistics, all layers. */
  get #rowBytes(): number {
    return 2 * FLOAT * (this.#state.normState?.channels ?? 0);
  }

  #metricsOf(rank: number): BufferView {
    const { storage, byteOffset } = this.#tensors.metrics;
    const bytes = ROW_BYTES * this.#range.own;
    return { storage, byteOffset: byteOffset + rank * bytes, byteLength: bytes };
  }

  #statisticsOf(rank: number): BufferView {
    const statistics = this.#state.normState?.statistics ?? this.#tensors.metrics;
    const { firstGhost, ghosts } = this.#shares[rank]!;
    return {
      storage: statistics.storage,
      byteOffset: statistics.byteOffset + firstGhost * this.#rowBytes,
      byteLength: ghosts * this.#rowBytes,
    };
  }
}
