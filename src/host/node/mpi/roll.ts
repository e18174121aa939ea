import type { MpiLibrary } from "./library.ts";

/** Tag of the messages; the exchanges are collective calls, which have no tags. */
const TAG = 1;

/**
 * Roll call: a rank that has waited for a while sends the number of its exchange to all others, so that each can report who is
 * missing if an exchange never ends. Messages are received only on demand, and none are sent while exchanges are quick.
 */
export class Roll {
  readonly #mpi: MpiLibrary;
  readonly #others: readonly number[];
  /** The last exchange in which each rank has reported to be waiting. */
  readonly #seen = new Map<number, number>();
  /** Messages being sent. */
  #sent: { readonly message: Float64Array; readonly request: Uint8Array }[] = [];
  readonly #flag = new Int32Array(new ArrayBuffer(4));
  readonly #status = new Uint8Array(new ArrayBuffer(64));

  constructor(mpi: MpiLibrary, { rank, size }: { readonly rank: number; readonly size: number }) {
    this.#mpi = mpi;
    this.#others = Array.from({ length: size }, (_, other) => other).filter((other) => other !== rank);
  }

  /** Reports to the others that this rank is waiting in an exchange. */
  tell(exchange: number): void {
    const { calls, byte, world } = this.#mpi;
    this.take();
    this.#sent = this.#sent.filter(({ request }) => {
      calls.test(request, this.#flag, this.#status);
      return this.#flag[0] === 0;
    });
    for (const other of this.#others) {
      const message = new Float64Array(new ArrayBuffer(8)).fill(exchange);
      const request = new Uint8Array(new ArrayBuffer(8));
      calls.isend(message, 8, byte, other, TAG, world, request);
      this.#sent.push({ message, request });
    }
  }

  /** Ranks that have not reported to be waiting in this exchange. */
  missing(exchange: number): number[] {
    this.take();
    return this.#others.filter((other) => (this.#seen.get(other) ?? 0) < exchange);
  }

  /** Receives all messages that have arrived. */
  take(): void {
    const { calls, byte, world } = this.#mpi;
    const message = new Float64Array(new ArrayBuffer(8));
    for (const other of this.#others) {
      for (;;) {
        calls.iprobe(other, TAG, world, this.#flag, this.#status);
        if (this.#flag[0] === 0) break;
        calls.recv(message, 8, byte, other, TAG, world, this.#status);
        this.#seen.set(other, message[0]!);
      }
    }
  }
}
