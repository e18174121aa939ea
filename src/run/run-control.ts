/** Requests to a running run, which checks for them after every step. */
import { shellCommand } from "../support/shell-words.ts";

export interface StopRequest {
  /** Origin of the request, e.g. the name of a signal. */
  readonly by: string;
  readonly exitCode: number;
}

export class RunControl {
  /** Options that do not change the result and must be repeated when the run continues. */
  readonly resumeWords: readonly string[];
  /** Words that start several ranks, e.g. mpirun -n 4; empty for one process. */
  readonly startWords: readonly string[];
  #stop: StopRequest | null = null;
  #checkpoint = false;
  #underWay = false;
  #onBegin: () => void = () => undefined;

  constructor({
    resumeWords = [],
    startWords = [],
  }: Partial<Pick<RunControl, "resumeWords" | "startWords">> = {}) {
    this.resumeWords = resumeWords;
    this.startWords = startWords;
  }

  /** The command line that continues the run of a folder. */
  resumeCommand(folder: string): string {
    return shellCommand([...this.startWords, "ghostbatch", "train", "--resume", folder, ...this.resumeWords]);
  }

  /** Whether there is a run to save; if so, a stop takes a checkpoint. */
  get underWay(): boolean {
    return this.#underWay;
  }

  /** `listen` is called when there is a run to save. */
  onBegin(listen: () => void): void {
    this.#onBegin = listen;
  }

  /** Declares that there is now a run to save. */
  begin(): void {
    this.#underWay = true;
    this.#onBegin();
  }

  /** Requests a checkpoint after the current step, and the end of the run. The first request counts. */
  requestStop(request: StopRequest): void {
    this.#stop ??= request;
  }

  /** Requests a checkpoint after the current step. */
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
