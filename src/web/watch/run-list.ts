/** The list of runs: a box to choose each, found by a filter, named in short. */
import { element } from "../element.ts";
import { shortNames } from "./short-names.ts";

export interface RunState {
  readonly name: string;
  readonly finished: boolean;
  /** Test accuracy, percent, of a finished run. */
  readonly accuracy: number | null;
  /** Milliseconds since 1970 of its last metrics. */
  readonly changed: number;
}

/** Milliseconds without new metrics after which a run does not count as running. */
const STILL = 60_000;

interface Entry {
  readonly label: HTMLLabelElement;
  readonly box: HTMLInputElement;
  readonly name: HTMLElement;
  readonly state: HTMLElement;
}

export class RunList {
  readonly #place: HTMLElement;
  readonly #onChoose: (name: string, isChosen: boolean) => void;
  readonly #entries = new Map<string, Entry>();
  #runs: readonly RunState[] = [];
  #filter = "";

  constructor(place: HTMLElement, onChoose: (name: string, isChosen: boolean) => void) {
    this.#place = place;
    this.#onChoose = onChoose;
  }

  /** Runs that match the filter, in the order of the list. */
  get listed(): readonly string[] {
    return this.#runs.map(({ name }) => name).filter((name) => matches(name, this.#filter));
  }

  /** A short name for each run. */
  get labels(): ReadonlyMap<string, string> {
    return shortNames(this.#runs.map(({ name }) => name));
  }

  /**
   * Shows the runs. Rows stay in place while they are the same: a box that is rebuilt during a click cannot be ticked.
   * @param chosen color of each chosen run, and its last step if that has arrived
   */
  show(
    runs: readonly RunState[],
    filter: string,
    chosen: ReadonlyMap<string, { readonly color: string; readonly step: number | null }>,
  ): void {
    this.#runs = runs;
    this.#filter = filter;
    const labels = this.labels;
    const rows = runs.flatMap((run) => {
      if (!matches(run.name, filter)) return [];
      const entry = this.#entries.get(run.name) ?? this.#make(run.name);
      this.#entries.set(run.name, entry);
      const look = chosen.get(run.name);
      const isRunning = !run.finished && Date.now() - run.changed < STILL;
      setText(entry.name, labels.get(run.name)!);
      setText(entry.state, stateOf(run, isRunning, look?.step ?? null));
      entry.state.className = isRunning ? "running" : "";
      entry.label.style.borderLeftColor = look?.color ?? "transparent";
      entry.box.checked = look !== undefined;
      return [entry.label];
    });
    const isSame =
      rows.length === this.#place.children.length && rows.every((row, i) => this.#place.children[i] === row);
    if (!isSame) this.#place.replaceChildren(...rows);
  }

  #make(name: string): Entry {
    const box = element("input", { type: "checkbox" });
    box.addEventListener("change", () => this.#onChoose(name, box.checked));
    const [title, state] = [element("span", {}), element("small", {})];
    return { label: element("label", { title: name }, box, title, state), box, name: title, state };
  }
}

/** Whether a name has every word of a filter. */
function matches(name: string, filter: string): boolean {
  const words = filter.toLowerCase().split(/\s+/);
  return words.every((word) => name.toLowerCase().includes(word));
}

function stateOf({ finished, accuracy, changed }: RunState, isRunning: boolean, step: number | null): string {
  const at = step === null ? "" : `, step ${step}`;
  if (finished) return `finished${accuracy === null ? "" : `, ${accuracy.toFixed(2)} %`}${at}`;
  if (isRunning) return `running${at}`;
  return `not finished, still for ${Math.round((Date.now() - changed) / 60_000)} min${at}`;
}

/** Updates only what changes, because a screen reader would read it again. */
function setText(place: HTMLElement, text: string): void {
  if (place.textContent !== text) place.textContent = text;
}
