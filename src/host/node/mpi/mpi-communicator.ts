/** A communicator on MPI, for a rank's main thread. A separate thread calls the library. */
import { hostname } from "node:os";
import { Worker } from "node:worker_threads";
import { env } from "../../../support/env.ts";
import { DeviceError } from "../../../support/errors.ts";
import { formatDuration } from "../../../support/format.ts";
import { type Communicator, rankName } from "../../../train/communicator.ts";
import type { Launch } from "./launcher.ts";
import type { Answer, Call, ThreadOptions } from "./protocol.ts";

const ENTRY = new URL("../../../../bin/mpi-thread.mjs", import.meta.url);
/** Milliseconds that a rank without a message waits for another's before the job ends. */
const LAST_WORDS_MS = 10_000;
/** Milliseconds after which a process exits if MPI does not end it. */
const ABORT_MS = 2000;
/** Bytes of a host name that are compared and shown. */
const NAME_BYTES = 64;

export interface MpiOptions {
  readonly launch: Launch;
  readonly patient: boolean;
  readonly watchdogMs: number;
}

interface Waiting {
  readonly resolve: (done: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | null) => void;
  readonly reject: (error: Error) => void;
}

export class MpiCommunicator implements Communicator {
  readonly rank: number;
  readonly size: number;
  /** The library's version text. */
  readonly version: string;
  hosts: readonly string[];
  readonly #worker: Worker;
  readonly #options: ThreadOptions;
  /** Unanswered calls, in order. */
  readonly #waiting: Waiting[] = [];

  private constructor(
    worker: Worker,
    options: ThreadOptions,
    { rank, size, version }: { rank: number; size: number; version: string },
  ) {
    this.rank = rank;
    this.size = size;
    this.version = version;
    this.hosts = Array.from({ length: size }, () => "");
    this.#worker = worker;
    this.#options = options;
    worker.on("message", (answer: Answer) => this.#take(answer));
    worker.on("error", (error) => this.#fail(error));
  }

  /** Joins the other ranks; all of them must do so. @throws DeviceError if MPI is missing or is not the launcher's */
  static async open({ launch, patient, watchdogMs }: MpiOptions): Promise<MpiCommunicator> {
    // UCX overwrites mmap, munmap, madvise and sbrk with jumps to its own, while Node's and the driver's threads call them: some
    // starts crashed or hung (LOG.md). It does so for a cache of registered memory, which only some networks have.
    env.keepUcxFromPatching();
    const abort = new Int32Array(new SharedArrayBuffer(4));
    const options: ThreadOptions = { launch, file: env.mpiLibrary(), patient, watchdogMs, abort };
    const worker = new Worker(ENTRY, { workerData: options });
    const late = new DeviceError(
      `MPI: not all of the ${launch.size} ranks have started within ${formatDuration(watchdogMs / 1000)} (--watchdog)`,
    );
    let timer: NodeJS.Timeout | undefined;
    const first = await new Promise<Answer>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
      timer = setTimeout(() => reject(late), watchdogMs);
    }).finally(() => clearTimeout(timer));
    if (!("ready" in first)) throw new DeviceError("failed" in first ? first.failed : "MPI: no answer");
    worker.removeAllListeners("error");
    const communicator = new MpiCommunicator(worker, options, first.ready);
    communicator.hosts = await communicator.#names(hostname());
    return communicator;
  }

  async sum(values: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>> {
    return (await this.#call({ call: "sum", data: values }, [values.buffer])) as Float32Array<ArrayBuffer>;
  }

  /** MPI's own sum, in whatever order it adds; for comparison in measurements. */
  async allreduce(values: Float32Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>> {
    return (await this.#call({ call: "allreduce", data: values }, [
      values.buffer,
    ])) as Float32Array<ArrayBuffer>;
  }

  async gather(own: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.#call({ call: "gather", data: own })) as Uint8Array<ArrayBuffer>;
  }

  async broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    return (await this.#call({ call: "broadcast", data: bytes })) as Uint8Array<ArrayBuffer>;
  }

  /** Shuts down MPI in this process, after all ranks have reached this point. */
  async close(): Promise<void> {
    await this.#call({ call: "close" });
    await this.#worker.terminate();
  }

  abort(exitCode: number): void {
    // During an exchange the thread checks the flag; when idle it receives the message.
    Atomics.store(this.#options.abort, 0, exitCode + 1);
    Atomics.notify(this.#options.abort, 0);
    this.#worker.postMessage({ abort: exitCode });
    setTimeout(() => process.exit(exitCode), ABORT_MS);
  }

  async #names(own: string): Promise<string[]> {
    const padded = new Uint8Array(NAME_BYTES);
    new TextEncoder().encodeInto(own, padded);
    const all = await this.gather(padded);
    return this.hosts.map((_, rank) => {
      const name = all.subarray(rank * NAME_BYTES, (rank + 1) * NAME_BYTES);
      return new TextDecoder().decode(name).replaceAll("\0", "");
    });
  }

  #call(call: Call, moved: ArrayBuffer[] = []) {
    return new Promise<Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | null>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(call, moved);
    });
  }

  #take(answer: Answer): void {
    if ("done" in answer) this.#waiting.shift()!.resolve(answer.done);
    else if ("failed" in answer) this.#fail(new DeviceError(answer.failed));
    else if ("hanging" in answer) this.#hang(answer.hanging);
  }

  /** The lowest waiting rank reports who is missing. */
  #hang(missing: readonly number[]): void {
    const speaker = this.hosts.findIndex((_, rank) => !missing.includes(rank));
    if (speaker !== this.rank) {
      setTimeout(() => process.exit(1), LAST_WORDS_MS);
      return;
    }
    const limit = formatDuration(this.#options.watchdogMs / 1000);
    const names = missing.map((rank) => rankName(this, rank)).join(", ");
    this.#fail(
      new DeviceError(
        missing.length > 0
          ? `no answer from ${names} within ${limit} (--watchdog): the process or its machine hangs; look there, then continue with --resume`
          : `all ranks wait in one exchange for more than ${limit} (--watchdog): the network between them is at fault`,
      ),
    );
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
