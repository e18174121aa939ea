/** Several processes that train one run: what they decide, and how each learns it. */
import { constants } from "node:os";
import { EndedElsewhereError, messageOf, RankDriftError } from "../support/errors.ts";
import { ALONE, type Communicator } from "../train/communicator.ts";
import type { Votes } from "../train/step-recordings.ts";
import { RunControl } from "./run-control.ts";

/** The ranks of a run, seen from one of them. */
export interface Ranks {
  readonly communicator: Communicator;
  /** Messages that they exchange with each step. */
  readonly votes?: Votes;
}

/** A run of one process. */
export const ONE_RANK: Ranks = { communicator: ALONE };

/** A plain JSON value from each rank, in rank order. */
export async function gatherValues<T>(communicator: Communicator, own: T): Promise<T[]> {
  if (communicator.size === 1) return [own];
  const text = new TextEncoder().encode(JSON.stringify(own ?? null));
  const length = await communicator.gather(new Uint8Array(Uint32Array.of(text.length).buffer));
  const lengths = [...new Uint32Array(length.slice().buffer)];
  const longest = Math.max(...lengths);
  const padded = new Uint8Array(longest);
  padded.set(text);
  const all = await communicator.gather(padded);
  return lengths.map((bytes, rank) => {
    const start = rank * longest;
    return JSON.parse(new TextDecoder().decode(all.subarray(start, start + bytes))) as T;
  });
}

/** Rank 0's plain JSON value. @param value ignored on other ranks */
export async function broadcastValue<T>(communicator: Communicator, value: T | undefined): Promise<T> {
  if (communicator.size === 1) return value as T;
  const text = new TextEncoder().encode(communicator.rank === 0 ? JSON.stringify(value ?? null) : "");
  return JSON.parse(new TextDecoder().decode(await communicator.broadcast(text))) as T;
}

/** Errors that all ranks know of. They end together, with MPI closed properly. */
const known = new WeakSet<object>();

/** Whether every rank ends with this error, or because of it. */
export function isKnownToAll(thrown: unknown): boolean {
  return (
    thrown instanceof RankDriftError || (typeof thrown === "object" && thrown !== null && known.has(thrown))
  );
}

/** Marks an error that every rank has found independently. */
export function knownToAll<E extends object>(error: E): E {
  known.add(error);
  return error;
}

/**
 * Rank 0 decides, and all ranks get its decision, plain JSON.
 * @throws what `body` throws, on rank 0; EndedElsewhereError on the others in that case
 */
export async function onRankZero<T>(communicator: Communicator, body: () => Promise<T> | T): Promise<T> {
  let failure: unknown = null;
  let value: T | undefined;
  if (communicator.rank === 0) {
    try {
      value = await body();
    } catch (error) {
      failure = error;
    }
  }
  const outcome = await broadcastValue(communicator, { value, failed: failure !== null });
  if (!outcome.failed) return communicator.rank === 0 ? (value as T) : (outcome.value as T);
  throw knownToAll(failure === null ? new EndedElsewhereError() : (failure as object));
}

/**
 * Every rank runs `body`, and none continues unless all succeed.
 * @throws what `body` throws, unless a lower rank has failed with the same message; EndedElsewhereError on the other ranks
 */
export async function onAllRanks<T>(communicator: Communicator, body: () => Promise<T> | T): Promise<T> {
  let failure: unknown = null;
  let value: T | undefined;
  try {
    value = await body();
  } catch (error) {
    failure = error;
  }
  const failures = await gatherValues(communicator, failure === null ? null : messageOf(failure));
  if (failures.every((message) => message === null)) return value as T;
  const speaks = failure !== null && failures.indexOf(messageOf(failure)) === communicator.rank;
  throw knownToAll(speaks ? (failure as object) : new EndedElsewhereError());
}

/** Bit of a vote that requests a checkpoint. The lower bits are the exit code of a stop, 0 for none. */
const CHECKPOINT = 1 << 16;

/**
 * Makes requests to one rank known to all; they act on them after the same step.
 * @param local requests by signals to this process
 * @returns the control that the run uses
 */
export function agreedControl(
  local: RunControl,
  communicator: Communicator,
): { readonly control: RunControl; readonly votes: Votes } {
  const { resumeWords, startWords } = local;
  const control = new RunControl({ resumeWords, startWords });
  control.onBegin(() => local.begin());
  const votes: Votes = {
    cast() {
      const checkpoint = local.checkpoint ? CHECKPOINT : 0;
      local.checkpointTaken();
      return checkpoint | (local.stop?.exitCode ?? 0);
    },
    counted(all) {
      const rank = all.findIndex((vote) => (vote & ~CHECKPOINT) !== 0);
      if (rank >= 0) {
        const exitCode = all[rank]! & ~CHECKPOINT;
        const where = rank === 0 ? "" : ` on rank ${rank} (${communicator.hosts[rank]})`;
        control.requestStop({ by: `${signalOf(exitCode)}${where}`, exitCode });
      }
      if (all.some((vote) => (vote & CHECKPOINT) !== 0)) control.requestCheckpoint();
    },
  };
  return { control, votes };
}

/** The name of the signal that a shell's exit code represents. */
function signalOf(exitCode: number): string {
  const found = Object.entries(constants.signals).find(([, number]) => 128 + number === exitCode);
  return found?.[0] ?? `exit code ${exitCode}`;
}
