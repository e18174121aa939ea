/** What the outside asks of a run that is going on; it listens after every step. */
import { StoppedError } from "../support/errors.ts";
import { shellCommand } from "../support/shell-words.ts";

export interface StopRequest {
  /** Who asked, e.g. the name of a signal. */
  readonly by: string;
  readonly exitCode: number;
}

export class RunControl {
  readonly #resumeWords: readonly string[];
  #stop: StopRequest | null = null;
  #checkpoint = false;
  #underWay = false;

  /** @param options.resumeWords options that do not change the result and are to hold when the run goes on */
  constructor({ resumeWords = [] }: { resumeWords?: readonly string[] } = {}) {
    this.#resumeWords = resumeWords;
  }

  /** The command line that goes on with the run of a folder. */
  resumeCommand(folder: string): string {
    return shellCommand(["ghostbatch", "train", "--resume", folder, ...this.#resumeWords]);
  }

  /** Whether there is a run to keep: a stop takes a checkpoint then, and has nothing to wait for before. */
  get underWay(): boolean {
    return this.#underWay;
  }

  /** Says that what follows is a run to keep. @throws StoppedError when a stop has been asked for already */
  begin(): void {
    if (this.#stop) throw stoppedBefore(this.#stop);
    this.#underWay = true;
  }

  /** Asks for a checkpoint after the step under way, and an end there. The first request counts. */
  requestStop(request: StopRequest): void {
    this.#stop ??= request;
  }

  /** Asks for a checkpoint after the step under way. */
  requestCheckpoint(): void {
    this.#checkpoint = true;
  }

  get stop(): StopRequest | null {
    return this.#stop;
  }

  get checkpoint(): boolean {
    return this.#checkpoint;
  }

  checkpointTaken(): void {
    this.#checkpoint = false;
  }
}

/** The end of a command that was asked to stop while it had no run under way. */
export function stoppedBefore({ by, exitCode }: StopRequest): StoppedError {
  return new StoppedError(
    `stopped by ${by} before the first step, with nothing to keep; the same command begins again`,
    exitCode,
  );
}
