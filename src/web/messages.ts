/** Messages between the page and the worker of the race. */
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { MissingGpu } from "../host/browser/missing-gpu.ts";
import type { Column } from "../paper/columns.ts";
import type { Settings } from "./settings.ts";
import type { Curve, Point } from "./tracks.ts";

export type ToRace =
  /** `images` is the address of the packed MNIST */
  | { readonly kind: "start"; readonly settings: Settings; readonly images: string }
  | { readonly kind: "pause" }
  | { readonly kind: "resume" }
  /** One step of each trainer, then a pause. */
  | { readonly kind: "step" };

/** A trainer that is ready. */
export interface RacerFacts {
  readonly column: Column;
  readonly totalSteps: number;
  readonly dispatchesPerStep: number;
}

export type FromRace =
  | { readonly kind: "missing"; readonly reason: MissingGpu; readonly message: string }
  | { readonly kind: "adapter"; readonly adapter: AdapterFacts }
  | { readonly kind: "phase"; readonly text: string }
  /** Everything is compiled: the first step is next. */
  | { readonly kind: "ready"; readonly racers: readonly RacerFacts[] }
  /** The first step of each trainer has been computed. */
  | { readonly kind: "first step" }
  | {
      readonly kind: "points";
      readonly column: Column;
      readonly points: Readonly<Partial<Record<Curve, readonly Point[]>>>;
    }
  | { readonly kind: "progress"; readonly column: Column; readonly steps: number; readonly samples: number }
  /** This many rounds, each a step of every trainer, have been run; the next waits for the page. */
  | { readonly kind: "paused"; readonly rounds: number }
  /** A loss, a weight or a running statistic is NaN or infinite: this trainer stops. */
  | { readonly kind: "diverged"; readonly column: Column; readonly step: number }
  | { readonly kind: "finished" }
  | { readonly kind: "error"; readonly message: string };
