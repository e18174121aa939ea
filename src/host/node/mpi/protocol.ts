/** Messages between a rank's main thread and its MPI thread. */
import type { Launch } from "./launcher.ts";

/** Start-up data of the MPI thread. */
export interface ThreadOptions {
  readonly launch: Launch;
  /** Path of the library, instead of the usual names. */
  readonly file: string | undefined;
  /** Whether to sleep while waiting, which leaves the cores to a software GPU but notices an answer up to a millisecond late. */
  readonly patient: boolean;
  /** The longest that an exchange may wait for another rank, ms. */
  readonly watchdogMs: number;
  /** [1]: 0, or 1 + the exit code with which to end all ranks; set at any time. */
  readonly abort: Int32Array<SharedArrayBuffer>;
}

export type Call =
  | { readonly call: "sum"; readonly data: Float32Array<ArrayBuffer> }
  | { readonly call: "gather"; readonly data: Uint8Array<ArrayBuffer> }
  | { readonly call: "broadcast"; readonly data: Uint8Array<ArrayBuffer> }
  /** MPI's own sum, for comparison in measurements. */
  | { readonly call: "allreduce"; readonly data: Float32Array<ArrayBuffer> }
  | { readonly call: "close" };

export type Answer =
  | { readonly ready: { readonly rank: number; readonly size: number; readonly version: string } }
  | { readonly done: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer> | null }
  | { readonly failed: string }
  /** Ranks that have not reached the exchange in which this one waits; empty if all have. */
  | { readonly hanging: readonly number[] };
