/**
 * Decides when to take checkpoints, and writes them without stopping the steps: the state is copied in order with them, and hashed and
 * written while they continue. At most one checkpoint is written at a time; one that becomes due in the meantime follows at once.
 */
import { stateDictOf } from "../nn/state-dict.ts";
import { CheckpointFolder, type CheckpointName } from "../storage/checkpoint-file.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import type { TensorToStore } from "../storage/safetensors.ts";
import { isFiniteState, type Position, type StateTensors } from "../train/checkpoint.ts";
import type { TrainerSequence } from "../train/trainer-sequence.ts";
import type { CheckpointContent, RunCheckpoint } from "./run-checkpoint.ts";
import type { RunControl } from "./run-control.ts";

export interface CheckpointOptions {
  /** Steps or seconds between checkpoints; Infinity for only those that are requested. */
  readonly every: { readonly steps: number } | { readonly seconds: number };
  /** How many of the newest to keep. */
  readonly keep: number;
}

/** A killed run loses at most five minutes. Two are kept, because whatever ended the run may have damaged the newest. */
export const DEFAULT_CHECKPOINTS: CheckpointOptions = { every: { seconds: 300 }, keep: 2 };

interface Best {
  readonly step: number;
  readonly accuracy: number;
  readonly tensors: Promise<ReadonlyMap<string, TensorToStore>>;
}

export class Checkpointer {
  readonly #folder: RunFolder;
  readonly #sequence: TrainerSequence;
  readonly #options: CheckpointOptions;
  /** The content of a checkpoint's JSON at a position. */
  readonly #describe: (position: Position) => CheckpointContent;
  readonly #files: CheckpointFolder;
  #lastStep: number;
  #lastTime = performance.now();
  /** The weights of the best evaluation, until they are written with the next checkpoint. */
  #best: Best | null = null;
  #writing: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;
  #stateIsFinite = true;

  constructor(
    folder: RunFolder,
    sequence: TrainerSequence,
    fields: { options: CheckpointOptions; describe: (position: Position) => CheckpointContent },
  ) {
    this.#folder = folder;
    this.#sequence = sequence;
    this.#options = fields.options;
    this.#describe = fields.describe;
    this.#files = new CheckpointFolder(folder.path);
    this.#lastStep = 0;
  }

  /** Removes checkpoints of steps after the one from which the run continues, and leftovers of a killed process. */
  async begin(from: RunCheckpoint | null): Promise<void> {
    const step = from?.content.position.step ?? 0;
    this.#lastStep = step;
    await this.#files.sweep();
    const all = [...(await this.#files.list("last")), ...(await this.#files.list("best"))];
    await this.#files.prune(all.filter((name) => name.step <= step));
  }

  /**
   * Takes a checkpoint if one is due or requested, and the weights if this step's evaluation is the best. Returns false if the
   * run must stop; everything is then on disk.
   * @param best the evaluation of this step if it is the best so far, else null
   * @throws DataError if an earlier checkpoint could not be written
   */
  async afterStep(
    position: Position,
    best: { accuracy: number } | null,
    control: RunControl,
  ): Promise<boolean> {
    this.#throwFailure();
    const stops = control.stop !== null;
    if (stops) await this.settle();
    const due = stops || (this.#writing === null && (control.checkpoint || this.#isDue(position.step)));
    if (!due && !best) return true;
    await this.#sequence.keeper.idle();
    const content = this.#describe(position);
    const arriving = this.#sequence.keeper.take();
    arriving.catch(() => undefined); // awaited by whoever writes it
    const { step } = position;
    if (best)
      this.#best = {
        step,
        accuracy: best.accuracy,
        tensors: arriving.then((tensors) => this.#weights(tensors)),
      };
    this.#best?.tensors.catch(() => undefined);
    if (due) {
      control.checkpointTaken();
      this.#lastStep = step;
      this.#lastTime = performance.now();
      const write = this.#write(content, arriving);
      // The best weights may be views of the same arrays.
      const written = best ? write : write.then(async () => this.#sequence.keeper.giveBack(await arriving));
      this.#writing = written
        .catch((error: unknown) => {
          this.#failure = { error };
        })
        .finally(() => {
          this.#writing = null;
        });
    }
    if (stops) await this.settle();
    return !stops;
  }

  /** Whether the last state to be saved was free of NaN and infinities; otherwise it was not saved. */
  get stateIsFinite(): boolean {
    return this.#stateIsFinite;
  }

  /** Resolves when nothing is being written, whether it succeeded or not. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** As `idle`. @throws DataError if a checkpoint could not be written */
  async settle(): Promise<void> {
    await this.#writing;
    this.#throwFailure();
  }

  /** Writes best weights that are not yet on disk, because the run ends. */
  async writeBest(): Promise<void> {
    await this.settle();
    if (this.#best === null) return;
    const { step, accuracy, tensors } = this.#best;
    await this.#writeFiles({ kind: "best", step }, await tensors, { step, accuracy });
    this.#best = null;
  }

  /** Removes what a finished run no longer needs. */
  async finish(): Promise<void> {
    await this.#files.keepBest();
  }

  #isDue(step: number): boolean {
    const { every } = this.#options;
    if ("steps" in every) return step - this.#lastStep >= every.steps;
    return performance.now() - this.#lastTime >= 1000 * every.seconds;
  }

  async #write(content: CheckpointContent, arriving: Promise<StateTensors>): Promise<void> {
    const tensors = await arriving;
    // The run ends at the next log point; the previous checkpoint remains the last good one.
    this.#stateIsFinite = isFiniteState(tensors);
    if (!this.#stateIsFinite) return;
    await this.#folder.settle();
    const best = this.#best;
    if (best && best.step <= content.position.step) {
      const { step, accuracy } = best;
      await this.#writeFiles({ kind: "best", step }, await best.tensors, { step, accuracy });
      if (this.#best === best) this.#best = null;
    }
    const stored = [...tensors].map(([name, data]) => [name, { shape: [data.length], data }] as const);
    await this.#writeFiles({ kind: "last", step: content.position.step }, stored, content);
    await this.#prune();
  }

  #writeFiles(
    name: CheckpointName,
    tensors: Iterable<readonly [string, TensorToStore]>,
    content: object,
  ): Promise<void> {
    return this.#files.write(name, tensors, content, this.#folder.requireHeld);
  }

  /** Keeps the newest ones and, for each, the best weights up to that step. */
  async #prune(): Promise<void> {
    await this.#folder.requireHeld();
    const last = (await this.#files.list("last")).slice(0, this.#options.keep);
    const best = await this.#files.list("best");
    const ofEach = last.map(({ step }) => best.find((name) => name.step <= step));
    await this.#files.prune([...last, ...ofEach.filter((name) => name !== undefined)]);
  }

  #weights(tensors: StateTensors): ReadonlyMap<string, TensorToStore> {
    const [values, runningMean, runningVariance] = ["values", "running_mean", "running_variance"].map(
      (name) => tensors.get(name),
    );
    return stateDictOf(this.#sequence.state, {
      values: values!,
      ...(runningMean && runningVariance && { runningMean, runningVariance }),
    });
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
