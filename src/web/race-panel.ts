/** The panel of the race: its buttons, its status, its charts and its table. */
import { COLUMNS, columnTitle } from "../paper/columns.ts";
import { equalCommand } from "../run/equal-command.ts";
import { RaceCharts, type RaceTracks } from "./charts.ts";
import { byId } from "./element.ts";
import { LiveRace } from "./live-race.ts";
import type { FromRace } from "./messages.ts";
import { playRecording, RECORDED_RACE } from "./recorded-race.ts";
import { type Standings, showResults } from "./results.ts";
import { DEFAULTS, raceSpec, type Settings } from "./settings.ts";
import { lockForm } from "./settings-form.ts";

const button = (id: string) => byId(id, HTMLButtonElement);

export class RacePanel {
  #settings: Settings;
  readonly #charts: RaceCharts;
  #race: LiveRace | null = null;
  #isPaused = false;
  #stopRecording: (() => void) | null = null;
  #standings: Standings = {};
  /** The settings of what is shown: while the recording plays, those of the recording. */
  #shownSettings: Settings;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#shownSettings = settings;
    this.#charts = new RaceCharts(byId("charts", HTMLElement), settings.axis);
    button("start").addEventListener("click", () => this.start());
    button("pause").addEventListener("click", () => this.#pause(!this.#isPaused));
    button("step").addEventListener("click", () => this.#step());
    button("reset").addEventListener("click", () => this.reset());
    button("recording").addEventListener("click", () => this.playRecording());
    this.show(settings);
  }

  /** Applies changed settings. */
  show(settings: Settings): void {
    this.#settings = settings;
    this.#shownSettings = this.#race?.settings ?? (this.#stopRecording ? this.#shownSettings : settings);
    this.#draw();
  }

  start(): void {
    this.reset();
    byId("notice", HTMLElement).hidden = true;
    this.#race = new LiveRace(this.#settings, (message) => this.#take(message));
    this.#setButtons("running");
  }

  reset(): void {
    this.#race?.close();
    this.#race = null;
    this.#stopRecording?.();
    this.#stopRecording = null;
    this.#standings = {};
    this.#shownSettings = this.#settings;
    byId("source", HTMLElement).textContent = "";
    byId("download", HTMLAnchorElement).hidden = true;
    this.#say("Nothing runs yet.");
    this.#setButtons("idle");
    this.#draw();
  }

  playRecording(): void {
    this.reset();
    const { adapter, version, seed, totalSteps } = RECORDED_RACE;
    this.#shownSettings = { ...DEFAULTS, seed, axis: this.#settings.axis };
    byId("source", HTMLElement).textContent =
      `Recorded, not computed here: runs of ghostbatch ${version} on ${adapter}, with the default settings and seed ${seed}.`;
    this.#say("The recorded race plays.");
    this.#setButtons("recording");
    this.#stopRecording = playRecording(
      (step, tracks) => {
        this.#standings = Object.fromEntries(
          COLUMNS.map((column) => {
            const steps = Math.min(step, totalSteps[column]);
            const samples = steps * raceSpec(this.#shownSettings, column).batchSize;
            const standing = {
              tracks: tracks[column],
              steps,
              samples,
              totalSteps: totalSteps[column],
              divergedAt: null,
            };
            return [column, standing];
          }),
        );
        this.#draw();
      },
      () => this.#say("The recorded race has ended."),
    );
  }

  /** Says why there is no GPU, and plays the recorded race instead. */
  showMissing(message: string): void {
    this.#fail(message);
    this.playRecording();
  }

  #take(message: FromRace): void {
    const race = this.#race!;
    this.#standings = race.standings;
    switch (message.kind) {
      case "phase":
        this.#say(`${message.text} …`);
        break;
      case "adapter": {
        const { name, software } = message.adapter;
        byId("source", HTMLElement).textContent =
          `Computed here, on ${name}${software ? ": a software adapter, correct but slow" : ""}.`;
        break;
      }
      case "first step":
        this.#say(
          `Training. Compiled in ${seconds(race.times.readyMs!)}, first step after ${seconds(race.times.firstStepMs! - race.times.readyMs!)} more.`,
        );
        break;
      case "paused":
        this.#say(
          `Paused after ${message.rounds} ${message.rounds === 1 ? "step" : "steps"} of each method.`,
        );
        break;
      case "diverged":
        this.#say(
          `${columnTitle(message.column)} has NaN or infinite numbers by step ${message.step} and stops; the others go on.`,
        );
        break;
      case "finished":
        this.#say(`Finished after ${seconds(race.times.finishedMs!)}.`);
        this.#setButtons("finished");
        this.#offerDownload(race);
        break;
      case "missing":
        this.showMissing(message.message);
        break;
      case "error":
        this.#fail(message.message);
        this.#setButtons("finished");
        this.#say("The race has failed.");
    }
    if (this.#race !== null) this.#draw();
  }

  #fail(message: string): void {
    const notice = byId("notice", HTMLElement);
    notice.textContent = message;
    notice.hidden = false;
    this.#race?.close();
  }

  #pause(isPaused: boolean): void {
    this.#isPaused = isPaused;
    this.#race?.send({ kind: isPaused ? "pause" : "resume" });
    button("pause").textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) this.#say("Training.");
  }

  #step(): void {
    if (!this.#isPaused) this.#pause(true);
    else this.#race?.send({ kind: "step" });
  }

  #setButtons(state: "idle" | "running" | "recording" | "finished"): void {
    const isRunning = state === "running";
    button("start").disabled = isRunning;
    button("pause").disabled = !isRunning;
    button("step").disabled = !isRunning;
    button("reset").disabled = state === "idle";
    button("recording").disabled = isRunning;
    this.#isPaused = false;
    button("pause").textContent = "Pause";
    lockForm(isRunning);
    document.body.dataset["race"] = state;
  }

  #draw(): void {
    const tracks: RaceTracks = Object.fromEntries(
      Object.entries(this.#standings).map(([column, standing]) => [column, standing.tracks]),
    );
    this.#charts.show(tracks, this.#settings.axis);
    showResults(this.#shownSettings, this.#standings);
  }

  #say(text: string): void {
    byId("status", HTMLElement).textContent = text;
  }

  #offerDownload({ settings, adapter, times, standings }: LiveRace): void {
    const runs = settings.methods.map((column) => ({
      method: columnTitle(column),
      command: equalCommand(raceSpec(settings, column)),
      ...standings[column],
    }));
    const text = JSON.stringify({ adapter, times, runs }, null, 1);
    const link = byId("download", HTMLAnchorElement);
    if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.hidden = false;
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`;
}
