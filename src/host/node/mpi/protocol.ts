/** What a rank's main thread and its MPI thread say to each other. */
import type { Launch } from "./launcher.ts";

/** What the MPI thread is started with. */
export interface ThreadOptions {
  readonly launch: Launch;
  /** Path of the library, in place of the usual ones. */
  readonly file: string | undefined;
  /** Whether waiting sleeps, which leaves the cores to a software GPU but notices an answer up to a millisecond late. */
  readonly patient: boolean;
  /** Milliseconds that an exchange may wait for another rank. */
  readonly watchdogMs: number;
  /** [1]: 0, or 1 + the exit code with which to end all ranks; set at any time. */
  readonly abort: Int32Array<SharedArrayBuffer>;
}

export type Call =
  | { readonly call: "sum"; readonly data: Float32Array<ArrayBuffer> }
  | { readonly call: "gather"; readonly data: Uint8Array<ArrayBuffer> }
  | { readonly call: "broadcast"; readonly data: Uint8Array<ArrayBuffer> }
  /** MPI's own sum, to measure against. */
  | { readonly call: "allreduce"; readonly data: Float32Array<ArrayBuffer> }
  | { readonly call: "close" };

export type Answer =
  | { readonly ready: { readonly rank: number; readonly size: number; readonly version: string } }
  | { readonly done: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | null }
  | { readonly failed: string }
  /** Ranks that have not come to the exchange that this one waits in; empty where all have. */
  | { readonly hanging: readonly number[] };
