/** What the outside asks of a run that is going on; it listens after every step. */
import { shellCommand } from "../support/shell-words.ts";

export interface StopRequest {
  /** Who asked, e.g. the name of a signal. */
  readonly by: string;
  readonly exitCode: number;
}

export class RunControl {
  /** Options that do not change the result and are to hold when the run goes on. */
  readonly resumeWords: readonly string[];
  /** What starts several ranks of a run, e.g. mpirun -n 4; empty for one process. */
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

  /** The command line that goes on with the run of a folder. */
  resumeCommand(folder: string): string {
    return shellCommand([...this.startWords, "ghostbatch", "train", "--resume", folder, ...this.resumeWords]);
  }

  /** Whether there is a run to keep: a stop takes a checkpoint then. */
  get underWay(): boolean {
    return this.#underWay;
  }

  /** `listen` is called when there is a run to keep. */
  onBegin(listen: () => void): void {
    this.#onBegin = listen;
  }

  /** Says that what follows is a run to keep. */
  begin(): void {
    this.#underWay = true;
    this.#onBegin();
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
