/** The table beside the paper's numbers, and the results as JSON. */
import { COLUMNS, type Column, columnTitle } from "../paper/columns.ts";
import { byId, element } from "./element.ts";
import { METHOD_NAMES } from "./method-look.ts";
import { F1, raceSpec, type Settings } from "./settings.ts";
import type { Tracks } from "./tracks.ts";

/** The progress of one method. */
export interface Standing {
  readonly tracks: Tracks;
  readonly steps: number;
  readonly samples: number;
  readonly totalSteps: number;
  /** The step after which something was NaN or infinite; null if nothing is. */
  readonly divergedAt: number | null;
}

export type Standings = Readonly<Partial<Record<Column, Standing>>>;

const count = new Intl.NumberFormat("en-US");

/** Fills the table. */
export function showResults(settings: Settings, standings: Standings): void {
  const table = byId("results", HTMLTableElement);
  byId("scale", HTMLElement).textContent =
    `Small scale, not the paper's setting: three hidden layers of ${settings.width}, 4,096 training images, batches of ` +
    `${F1.scales.small.small} and ${settings.batch}, one seed. The last column is the paper's Table 1, F1 on all of MNIST.`;
  const rows = COLUMNS.filter((column) => settings.methods.includes(column)).map((column) =>
    rowOf(settings, column, standings[column]),
  );
  table.tBodies[0]!.replaceChildren(...rows);
}

function rowOf(settings: Settings, column: Column, standing: Standing | undefined): HTMLTableRowElement {
  const spec = raceSpec(settings, column);
  const head = element(
    "th",
    { scope: "row" },
    columnTitle(column),
    " ",
    element("small", {}, METHOD_NAMES[column]),
  );
  const steps =
    standing === undefined ? "" : `${count.format(standing.steps)} of ${count.format(standing.totalSteps)}`;
  const cells = [
    accuracyOf(standing),
    `${F1.paper[column]!.toFixed(2)} %`,
    count.format(spec.batchSize),
    spec.ghostSize === null ? "none" : count.format(spec.ghostSize),
    { none: "as SB", sqrt: "× √(B/B_S)", linear: "× B/B_S" }[spec.learningRateRule],
    steps,
    standing === undefined ? "" : count.format(standing.samples),
  ];
  return element("tr", {}, head, ...cells.map((text) => element("td", {}, text)));
}

function accuracyOf(standing: Standing | undefined): string {
  if (standing === undefined) return "";
  if (standing.divergedAt !== null) return `NaN or infinite by step ${standing.divergedAt}`;
  const accuracy = standing.tracks.accuracy.values.at(-1);
  return accuracy === undefined ? "not yet" : `${accuracy.toFixed(2)} %`;
}
