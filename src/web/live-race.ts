/** A running race: its worker, and the progress of each method. */
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { Column } from "../paper/columns.ts";
import type { FromRace, ToRace } from "./messages.ts";
import type { Standings } from "./results.ts";
import type { Settings } from "./settings.ts";
import { CURVES, type Curve, newTracks, type TrackRecorder } from "./tracks.ts";

interface LiveStanding {
  tracks: Record<Curve, TrackRecorder>;
  steps: number;
  samples: number;
  totalSteps: number;
  divergedAt: number | null;
}

/** Milliseconds, counted from the click that began the race. */
export interface RaceTimes {
  /** Everything is compiled. */
  readyMs: number | null;
  /** The first step of each method has been computed. */
  firstStepMs: number | null;
  finishedMs: number | null;
}

export class LiveRace {
  readonly settings: Settings;
  readonly standings: Standings;
  readonly times: RaceTimes = { readyMs: null, firstStepMs: null, finishedMs: null };
  adapter: AdapterFacts | null = null;
  readonly #standings: Partial<Record<Column, LiveStanding>> = {};
  readonly #worker: Worker;
  readonly #begin = performance.now();

  /** @param onMessage receives each message after it has been processed here */
  constructor(settings: Settings, onMessage: (message: FromRace) => void) {
    this.settings = settings;
    this.standings = this.#standings;
    this.#worker = new Worker(new URL("./race-worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromRace>) => {
      this.#take(data);
      onMessage(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      onMessage({ kind: "error", message: event.message || "the worker of the race could not be loaded" });
    };
    this.send({ kind: "start", settings, images: new URL("mnist.gz", document.baseURI).href });
  }

  send(message: ToRace): void {
    this.#worker.postMessage(message);
  }

  /** Ends the race at once, and its device. */
  close(): void {
    this.#worker.terminate();
  }

  #take(message: FromRace): void {
    const now = performance.now() - this.#begin;
    switch (message.kind) {
      case "adapter":
        this.adapter = message.adapter;
        break;
      case "ready":
        this.times.readyMs = now;
        for (const { column, totalSteps } of message.racers)
          this.#standings[column] = {
            tracks: newTracks(),
            steps: 0,
            samples: 0,
            totalSteps,
            divergedAt: null,
          };
        break;
      case "first step":
        this.times.firstStepMs = now;
        break;
      case "progress":
        Object.assign(this.#standings[message.column]!, { steps: message.steps, samples: message.samples });
        break;
      case "diverged":
        this.#standings[message.column]!.divergedAt = message.step;
        break;
      case "finished":
        this.times.finishedMs = now;
        break;
      case "points":
        for (const curve of CURVES)
          for (const point of message.points[curve] ?? [])
            this.#standings[message.column]!.tracks[curve].add(point);
    }
  }
}
