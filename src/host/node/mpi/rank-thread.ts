/** The MPI thread of a rank: it alone calls the library (MPI_THREAD_FUNNELED). */
import { DeviceError } from "../../../support/errors.ts";
import type { MpiLibrary } from "./library.ts";
import type { Call, ThreadOptions } from "./protocol.ts";
import { Roll } from "./roll.ts";

/** The requested thread level: only the thread that initialized MPI calls it. */
const FUNNELED = 1;
/** Polls without a pause, so that an immediate answer needs no sleep. */
const EAGER_TESTS = 20;
/** The same after all ranks have arrived, a few tenths of a second: MPICH moves a part of a message with each poll. */
const READY_TESTS = 100_000;
/** Milliseconds by which the pause grows with each poll, and its maximum: a hundredth of a training step. */
const PAUSE_MS = { growth: 0.05, longest: 1 };
/** Polls between two checks of the clock when not sleeping. */
const TESTS_PER_LOOK = 1024;

export class RankThread {
  readonly rank: number;
  readonly size: number;
  readonly #mpi: MpiLibrary;
  readonly #options: ThreadOptions;
  readonly #onHanging: (ranks: readonly number[]) => void;
  readonly #roll: Roll;
  readonly #flag = new Int32Array(new ArrayBuffer(4));
  readonly #request = new Uint8Array(new ArrayBuffer(8));
  readonly #status = new Uint8Array(new ArrayBuffer(64));
  /** Parts from all ranks, to add. */
  #parts = new Float32Array(0);
  /** Number of exchanges started. */
  #exchanges = 0;

  /** Initializes MPI, as all ranks must. @throws DeviceError if the library finds a different number of ranks than the launcher has started */
  constructor(mpi: MpiLibrary, options: ThreadOptions, onHanging: (ranks: readonly number[]) => void) {
    this.#mpi = mpi;
    this.#options = options;
    this.#onHanging = onHanging;
    const { calls, world } = mpi;
    const number = new Int32Array(new ArrayBuffer(4));
    this.#require("MPI_Init_thread", calls.initThread(null, null, FUNNELED, number));
    this.#require("MPI_Comm_set_errhandler", calls.setErrorHandler(world, mpi.errorsReturn));
    this.#require("MPI_Comm_rank", calls.rank(world, number));
    this.rank = number[0]!;
    this.#require("MPI_Comm_size", calls.size(world, number));
    this.size = number[0]!;
    const { launcher, size } = options.launch;
    if (this.size !== size)
      throw new DeviceError(
        `MPI: ${launcher} started ${size} ranks, but ${mpi.version} finds ${this.size}: the library is not the one of the launcher; ` +
          "load the module whose mpirun you use, set GHOSTBATCH_MPI to its libmpi.so, or under srun choose --mpi=pmix or --mpi=pmi2",
      );
    this.#roll = new Roll(mpi, this);
  }

  run(call: Exclude<Call, { call: "close" }>): Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> {
    if (call.call === "sum") return this.#sum(call.data);
    if (call.call === "gather") return this.#gather(call.data);
    if (call.call === "broadcast") return this.#broadcast(call.data);
    return this.#allreduce(call.data);
  }

  /** Shuts down MPI in this process, after all ranks have reached this point. */
  close(): void {
    this.#gather(new Uint8Array(new ArrayBuffer(1))); // a sleeping wait: MPI_Finalize spins
    this.#roll.take(); // receive leftover messages
    this.#mpi.calls.finalize();
  }

  /**
   * Each rank gets one part of all ranks' values, adds it in a tree, and sends the sum to all. (MPI_Allreduce guarantees no
   * order of its sums, and takes many times as long on OpenMPI 4.1: docs/DISTRIBUTED.md.)
   */
  #sum(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    const { calls, float, world, sum } = this.#mpi;
    const { size } = this;
    const length = values.length / size;
    if (this.#parts.length < values.length) this.#parts = new Float32Array(values.length);
    const parts = this.#parts;
    // Sleep during the long wait for the slowest rank; once it has arrived, poll without pause for the large messages.
    if (this.#options.patient) this.#gather(new Uint8Array(new ArrayBuffer(1)));
    this.#exchange(
      "MPI_Ialltoall",
      (request) => calls.ialltoall(values, length, float, parts, length, float, world, request),
      READY_TESTS,
    );
    const part = (rank: number) => parts.subarray(rank * length, (rank + 1) * length);
    for (let distance = 1; distance < size; distance *= 2) {
      for (let rank = 0; rank + distance < size; rank += 2 * distance) {
        const code = calls.reduceLocal(part(rank + distance), part(rank), length, float, sum);
        this.#require("MPI_Reduce_local", code);
      }
    }
    this.#exchange(
      "MPI_Iallgather",
      (request) => calls.iallgather(part(0), length, float, values, length, float, world, request),
      READY_TESTS,
    );
    return values;
  }

  #gather(own: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { calls, byte, world } = this.#mpi;
    const all = new Uint8Array(new ArrayBuffer(own.length * this.size));
    this.#exchange("MPI_Iallgather", (request) =>
      calls.iallgather(own, own.length, byte, all, own.length, byte, world, request),
    );
    return all;
  }

  #broadcast(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const { calls, byte, world } = this.#mpi;
    const isRoot = this.rank === 0;
    const length = new Float64Array(new ArrayBuffer(8));
    if (isRoot) length[0] = bytes.length;
    this.#exchange("MPI_Ibcast", (request) => calls.ibcast(length, 8, byte, 0, world, request));
    const data = isRoot ? bytes : new Uint8Array(new ArrayBuffer(length[0]!));
    this.#exchange("MPI_Ibcast", (request) => calls.ibcast(data, data.length, byte, 0, world, request));
    return data;
  }

  #allreduce(values: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
    const { calls, float, world, sum } = this.#mpi;
    const result = this.#parts.length === values.length ? this.#parts : new Float32Array(values.length);
    this.#parts = values; // reused by the next call
    this.#require("MPI_Allreduce", calls.allreduce(values, result, values.length, float, sum, world));
    return result;
  }

  /**
   * Starts an exchange and waits until this rank's part in it is done.
   * @param eagerTests number of polls without a pause
   */
  #exchange(name: string, begin: (request: Uint8Array) => number, eagerTests = EAGER_TESTS): void {
    const { calls } = this.#mpi;
    const { patient, watchdogMs } = this.#options;
    this.#exchanges++;
    this.#require(name, begin(this.#request));
    const since = performance.now();
    let isTold = false;
    let isHanging = false;
    for (let tests = 1; ; tests++) {
      this.#require("MPI_Test", calls.test(this.#request, this.#flag, this.#status));
      if (this.#flag[0] !== 0) return;
      if (patient && tests > eagerTests) this.#pause(PAUSE_MS.growth * (tests - eagerTests));
      else if (tests % TESTS_PER_LOOK !== 0) continue;
      this.#abortIfAsked();
      const waitedMs = performance.now() - since;
      if (!isTold && waitedMs > this.#tellAfterMs) {
        isTold = true;
        this.#roll.tell(this.#exchanges);
      }
      // As long again as others take to report that they are waiting too.
      if (!isHanging && waitedMs > watchdogMs + 2 * this.#tellAfterMs) {
        isHanging = true;
        this.#onHanging(this.#roll.missing(this.#exchanges));
      }
    }
  }

  /** Milliseconds after which a waiting rank reports that it waits. */
  get #tellAfterMs(): number {
    return Math.min(1000, this.#options.watchdogMs / 4);
  }

  #pause(milliseconds: number): void {
    Atomics.wait(this.#options.abort, 0, 0, Math.min(milliseconds, PAUSE_MS.longest));
  }

  #abortIfAsked(): void {
    const asked = Atomics.load(this.#options.abort, 0);
    if (asked !== 0) this.abort(asked - 1);
  }

  abort(exitCode: number): void {
    this.#mpi.calls.abort(this.#mpi.world, exitCode);
  }

  #require(name: string, code: number): void {
    if (code !== 0) throw new DeviceError(`MPI: ${name} failed: ${this.#mpi.errorText(code)}`);
  }
}
