/**
 * Figures 1 to 3 of Hoffer et al. 2017 as lists of runs: error against epoch for batch sizes, distance from the start
 * against iteration without and with the remedies, and regime adaptation.
 */

import { completeSpec, type RunSpec, type RunSpecInput } from "../run/run-spec.ts";
import { cellSpec, type Row, type Setting } from "./columns.ts";
import { describeScale, type Scale, settingsOf } from "./scale.ts";

export const FIGURES = ["figure1", "figure2", "figure3"] as const;
export type Figure = (typeof FIGURES)[number];

export interface FigureRun {
  /** The curve. */
  readonly name: string;
  readonly panel: string;
  readonly batchSize: number;
  readonly spec: RunSpec;
}

export interface FigureChoice {
  readonly row: Row;
  readonly scale: Scale;
  readonly seed: number;
  /** The images, as named in specifications. */
  readonly images: string;
  /** GPU memory for a step in MiB, if not a run's default. */
  readonly memory?: number | undefined;
}

export const FIGURE_TITLES: Readonly<Record<Figure, string>> = {
  figure1: "Figure 1: error against epoch for batch sizes at one regime",
  figure2:
    "Figure 2: distance from the start, before and after learning-rate adjustment and ghost batch norm",
  figure3: "Figure 3: validation error against iteration with regime adaptation",
};

/** All runs of a figure for one seed. */
export function figureRuns(figure: Figure, choice: FigureChoice): FigureRun[] {
  return { figure1, figure2, figure3 }[figure](choice);
}

/** Notes on the setting, for the caption. */
export function figureNotes(figure: Figure, { row, scale }: Pick<FigureChoice, "row" | "scale">): string[] {
  const { small } = setting(row, scale);
  const reduced = scale === "small" ? `; Table 1 uses it with ${row.reduced}` : "";
  const plateau = `the first learning rate throughout, ${scale === "small" ? SMALL_PLATEAU_EPOCHS : PLATEAU_EPOCHS} epochs for every batch size`;
  return [
    `${row.network} on ${row.dataset}, ${describeScale(scale)}${reduced}; small batch and ghosts of ${small}`,
    ...(figure === "figure2" ? [plateau] : []),
  ];
}

/** Error against epoch, with the same regime for every batch size. */
function figure1(choice: FigureChoice): FigureRun[] {
  return batchSizes(choice).map((batchSize) => ({
    name: `b=${batchSize}`,
    panel: "",
    batchSize,
    spec: variation(choice, { batchSize, evaluateEvery: 1 }),
  }));
}

/** ResNet44's plateau ends at epoch 81; the paper's figure shows 80 epochs of it. */
const PLATEAU_EPOCHS = 80;
/** 2,560 steps of the small batch: enough for a fit over three decades (docs/PAPER.md, small scale). */
const SMALL_PLATEAU_EPOCHS = 20;

/** Distance from the start on the plateau, (a) with the rate and batch norm of the small batch, (b) with both remedies. */
function figure2(choice: FigureChoice): FigureRun[] {
  const epochs = choice.scale === "small" ? SMALL_PLATEAU_EPOCHS : PLATEAU_EPOCHS;
  const { ghost } = setting(choice.row, choice.scale);
  const plateau = { constantRate: true, epochs, evaluateEvery: epochs };
  const cures = (batchSize: number) => ({
    learningRateRule: "sqrt" as const,
    ghostSize: Math.min(ghost, batchSize),
  });
  return (["a", "b"] as const).flatMap((panel) =>
    batchSizes(choice).map((batchSize) => ({
      name: `b=${batchSize}`,
      panel,
      batchSize,
      spec: variation(choice, { batchSize, ...plateau, ...(panel === "b" && cures(batchSize)) }),
    })),
  );
}

/** Evaluations of an adapted run per epoch of the small batch's: enough for a curve, and cheap. */
const EVALUATIONS_PER_EPOCH = 4;

/** The small batch, and two large ones with all remedies, with the regime stretched to as many steps. */
function figure3(choice: FigureChoice): FigureRun[] {
  const { small, large } = setting(choice.row, choice.scale);
  const { row, ...cell } = choice;
  const smallRun = {
    name: `b=${small}`,
    panel: "",
    batchSize: small,
    spec: cellSpec(row, { column: "SB", ...cell }),
  };
  const adapted = [large / 2, large].map((batchSize) => {
    const evaluateEvery = Math.max(1, batchSize / small / EVALUATIONS_PER_EPOCH);
    const spec = cellSpec(row, { column: "RA", ...cell });
    return {
      name: `b=${batchSize}, adapted`,
      panel: "",
      batchSize,
      spec: completeSpec({ ...spec, batchSize, evaluateEvery }),
    };
  });
  return [{ ...smallRun, spec: { ...smallRun.spec, evaluateEvery: 1 } }, ...adapted];
}

/** Half the small batch to half the large one in powers of two: 64 to 2048 for the paper's 128 and 4096. */
function batchSizes({ row, scale }: FigureChoice): number[] {
  const { small, large } = setting(row, scale);
  const sizes: number[] = [];
  for (let size = small / 2; size <= large / 2; size *= 2) sizes.push(size);
  return sizes;
}

function setting(row: Row, scale: Scale): Setting {
  return row.scales[settingsOf(scale).base];
}

/** The small batch's run with some options changed. */
function variation({ row, ...cell }: FigureChoice, options: RunSpecInput): RunSpec {
  return completeSpec({ ...cellSpec(row, { column: "SB", ...cell }), ...options });
}
