/** One trainer of the race. It runs a step when it is its turn. */
import type { TrainEvent, Trainer } from "../train/trainer.ts";

export class Racer {
  readonly #trainer: Trainer;
  readonly #onEvent: (event: TrainEvent) => void;
  #run: Promise<void> | null = null;
  #hasEnded = false;
  #endTurn: () => void = () => undefined;
  #goOn: (goesOn: boolean) => void = () => undefined;

  constructor(trainer: Trainer, onEvent: (event: TrainEvent) => void) {
    this.#trainer = trainer;
    this.#onEvent = onEvent;
  }

  /**
   * Runs one step, with its read-backs and evaluation. Between turns the trainer does nothing.
   * @returns whether there may be more steps
   * @throws errors of the device
   */
  async turn(): Promise<boolean> {
    const turnEnds = new Promise<void>((resolve) => {
      this.#endTurn = resolve;
    });
    if (this.#run === null) this.#run = this.#train();
    else this.#goOn(true);
    await Promise.race([turnEnds, this.#run]);
    return !this.#hasEnded;
  }

  /** Ends the run at once. */
  async stop(): Promise<void> {
    this.#goOn(false);
    await this.#run;
  }

  async #train(): Promise<void> {
    const afterStep = () => {
      const goesOn = new Promise<boolean>((resolve) => {
        this.#goOn = resolve;
      });
      this.#endTurn();
      return goesOn;
    };
    for await (const event of this.#trainer.run(0, afterStep)) this.#onEvent(event);
    this.#hasEnded = true;
  }
}
