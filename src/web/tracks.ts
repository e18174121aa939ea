/** Data of the charts: values at some steps of a run, just dense enough for a logarithmic axis. */

/** One curve. */
export interface Track {
  readonly steps: readonly number[];
  /** Training images seen so far. */
  readonly samples: readonly number[];
  readonly values: readonly number[];
}

export const CURVES = ["accuracy", "loss", "distance"] as const;
export type Curve = (typeof CURVES)[number];

/** The curves of one run: test accuracy in percent, training loss, ‖w − w₀‖. */
export type Tracks = Readonly<Record<Curve, Track>>;

export interface Point {
  readonly step: number;
  readonly samples: number;
  readonly value: number;
}

/** Steps that share one point of a curve of means: 32 points for each factor of ten. */
const POINTS_PER_DECADE = 32;

/** A curve that grows. */
export class TrackRecorder implements Track {
  readonly steps: number[] = [];
  readonly samples: number[] = [];
  readonly values: number[] = [];
  readonly #means: boolean;
  #inLast = 0;

  /** @param options.means replaces steps that are close on a logarithmic axis by their mean; for a noisy value of every step */
  constructor({ means = false } = {}) {
    this.#means = means;
  }

  /** Adds a point; steps ascend. */
  add({ step, samples, value }: Point): void {
    const last = this.steps.length - 1;
    const joins = this.#means && last >= 0 && place(step) === place(this.steps[last]!);
    if (!joins) {
      this.steps.push(step);
      this.samples.push(samples);
      this.values.push(value);
      this.#inLast = 1;
      return;
    }
    this.#inLast++;
    this.steps[last] = step;
    this.samples[last] = samples;
    this.values[last]! += (value - this.values[last]!) / this.#inLast;
  }
}

function place(step: number): number {
  return Math.floor(POINTS_PER_DECADE * Math.log10(step));
}

/** Empty curves for a run that begins. */
export function newTracks(): Record<Curve, TrackRecorder> {
  return {
    accuracy: new TrackRecorder(),
    loss: new TrackRecorder({ means: true }),
    distance: new TrackRecorder(),
  };
}

/** The curves up to a step. */
export function tracksUntil(tracks: Tracks, step: number): Tracks {
  const until = ({ steps, samples, values }: Track): Track => {
    const end = steps.findIndex((other) => other > step);
    const count = end < 0 ? steps.length : end;
    return { steps: steps.slice(0, count), samples: samples.slice(0, count), values: values.slice(0, count) };
  };
  return { accuracy: until(tracks.accuracy), loss: until(tracks.loss), distance: until(tracks.distance) };
}
