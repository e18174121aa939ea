/** What the outside asks of a run that is going on; it listens after every step. */
export interface StopRequest {
  /** Who asked, e.g. the name of a signal. */
  readonly by: string;
  readonly exitCode: number;
}

export class RunControl {
  #stop: StopRequest | null = null;
  #checkpoint = false;

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
