// The learning-rate rules and regime adaptation of Hoffer et al. 2017, as pure functions of the step.

import { requireWhole } from "../support/check.ts";
import { UsageError } from "../support/errors.ts";
import { formatCount, formatNumber } from "../support/format.ts";
import type { BaseRegime } from "./base-regimes.ts";

/** How the learning rate follows the batch: η_S, η_S·√(B / B_ref) (the paper's) or η_S·B / B_ref (Goyal 2017). */
export type LearningRateRule = "none" | "sqrt" | "linear";

/**
 * How the epochs of a regime follow the batch.
 * - `original`: unchanged (columns SB, LB, +LR, +GBN)
 * - `exact`: all multiplied by r = B / B_ref (column +RA)
 * - `ceil`: multiplied by ⌈B / B_ref⌉, as in the released code
 * - `iteration-matched`: drops and end at the step numbers of the reference batch. `exact` takes a few more
 *   steps than the reference run (41,600 for 39,100) because each epoch keeps its partial last batch.
 */
export type RegimeAdaptation = "original" | "exact" | "ceil" | "iteration-matched";

/** Whether the velocity is set to 0 when an epoch begins, as the authors' code does unintentionally. */
export type MomentumReset = "never" | "epoch";

export interface RegimeOptions {
  readonly base: BaseRegime;
  /** B, samples per step. */
  readonly batchSize: number;
  /** B_ref of both the rule and the adaptation. The paper's is the small batch of the same row. */
  readonly referenceBatchSize: number;
  /** Steps in an epoch at this batch size. */
  readonly stepsPerEpoch: number;
  /** Steps in an epoch at the reference batch size; used only by `iteration-matched`. */
  readonly referenceStepsPerEpoch?: number;
  readonly rule?: LearningRateRule;
  readonly adaptation?: RegimeAdaptation;
  /** Linear warm-up from η_S to the rule's rate (Goyal 2017), in this run's epochs or in steps. */
  readonly warmup?: { readonly epochs: number } | { readonly steps: number };
  readonly momentumReset?: MomentumReset;
  /** An upper limit on the number of steps. */
  readonly maxSteps?: number | undefined;
}

/** The rates from `step` until the next phase, with the rule applied, after any warm-up. */
export interface RegimePhase {
  readonly step: number;
  /** step / stepsPerEpoch; a whole number, except with `iteration-matched` or a fractional r. */
  readonly epoch: number;
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
}

/** A fully resolved regime: plain JSON, so a run can store it. */
export interface Regime {
  readonly name: string;
  readonly batchSize: number;
  readonly referenceBatchSize: number;
  readonly rule: LearningRateRule;
  /** Factor of the rule on every learning rate. */
  readonly learningRateScale: number;
  readonly adaptation: RegimeAdaptation;
  /** r: factor of the adaptation on every epoch. */
  readonly stretch: number;
  readonly warmupSteps: number;
  readonly momentumReset: MomentumReset;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** totalSteps / stepsPerEpoch. */
  readonly totalEpochs: number;
  /** In ascending order, the first at step 0, all below totalSteps. */
  readonly phases: readonly RegimePhase[];
}

export interface Hyperparameters {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  /** Whether the velocity is set to 0 before this step. */
  readonly resetMomentum: boolean;
}

/**
 * Applies the learning-rate rule and the regime adaptation to a base regime.
 * @throws UsageError naming the option with an invalid number
 */
export function planRegime(options: RegimeOptions): Regime {
  const { base, batchSize, referenceBatchSize, stepsPerEpoch, warmup } = options;
  const { rule = "none", adaptation = "original", momentumReset = "never", maxSteps } = options;
  requireWhole("batch size", batchSize);
  requireWhole("reference batch size", referenceBatchSize);
  requireWhole("steps per epoch", stepsPerEpoch);
  if (maxSteps !== undefined) requireWhole("maximum of steps", maxSteps);
  requireRegime(base);

  const ratio = batchSize / referenceBatchSize;
  const learningRateScale = { none: 1, sqrt: Math.sqrt(ratio), linear: ratio }[rule];
  const stepsPerBaseEpoch = stretchedEpoch(options);
  const regimeSteps = Math.max(1, Math.round(base.epochs * stepsPerBaseEpoch));
  const totalSteps = Math.min(regimeSteps, maxSteps ?? regimeSteps);
  const warmupEpochs = warmup !== undefined && "epochs" in warmup ? warmup.epochs : 0;
  const warmupSteps = warmup !== undefined && "steps" in warmup ? warmup.steps : warmupEpochs * stepsPerEpoch;
  if (!(warmupSteps >= 0)) throw new UsageError(`warm-up: expected 0 or more, got ${warmupSteps} steps`);

  const phases: RegimePhase[] = [];
  let current = { learningRate: 0, momentum: 0, weightDecay: 0 };
  for (const { epoch, learningRate, momentum, weightDecay } of base.entries) {
    current = {
      learningRate: learningRate === undefined ? current.learningRate : learningRate * learningRateScale,
      momentum: momentum ?? current.momentum,
      weightDecay: weightDecay ?? current.weightDecay,
    };
    // A change that rounds to the step of an earlier change is moved one step later, so that no rate is skipped.
    const step = Math.max(Math.round(epoch * stepsPerBaseEpoch), (phases.at(-1)?.step ?? -1) + 1);
    if (step >= totalSteps) break;
    phases.push({ step, epoch: step / stepsPerEpoch, ...current });
  }
  return {
    name: base.name,
    batchSize,
    referenceBatchSize,
    rule,
    learningRateScale,
    adaptation,
    stretch: stepsPerBaseEpoch / stepsPerEpoch,
    warmupSteps: Math.round(warmupSteps),
    momentumReset,
    stepsPerEpoch,
    totalSteps,
    totalEpochs: totalSteps / stepsPerEpoch,
    phases,
  };
}

/**
 * The rates that the optimizer uses at `step` (from 0). During the warm-up the factor of the rule grows from 1,
 *
 *   η(t) = η_S(t) · (1 + (scale − 1) · t / T_w)   for t < T_w,
 *
 * so the regime's drops apply on top of it.
 */
export function hyperparametersAt(regime: Regime, step: number): Hyperparameters {
  const { phases, warmupSteps, learningRateScale: scale, stepsPerEpoch } = regime;
  let index = phases.length - 1;
  while (index > 0 && phases[index].step > step) index--;
  const { learningRate, momentum, weightDecay } = phases[index];
  const warm = step < warmupSteps ? (1 + ((scale - 1) * step) / warmupSteps) / scale : 1;
  const resetMomentum = regime.momentumReset === "epoch" && step % stepsPerEpoch === 0;
  return { learningRate: learningRate * warm, momentum, weightDecay, resetMomentum };
}

/**
 * The factor by which momentum multiplies a constant gradient, averaged over an epoch of T steps that begins with velocity 0:
 *
 *   f(T) = 1/(1−m) · (1 − m(1−m^T) / (T(1−m)))
 *
 * It approaches 1/(1−m) for long epochs; at m = 0.9 it is 9.77 for T = 391 and 4.84 for T = 13.
 */
export function meanMomentumGain(momentum: number, stepsPerEpoch: number): number {
  const full = 1 / (1 - momentum);
  return full * (1 - (momentum * (1 - momentum ** stepsPerEpoch) * full) / stepsPerEpoch);
}

/** The regime as lines of text: the origin of the rates, then one line per phase, then the end. */
export function learningRateTable(regime: Regime): string[] {
  const { rule, batchSize, referenceBatchSize, learningRateScale, phases } = regime;
  const ratio = `${batchSize} / ${referenceBatchSize}`;
  const factor = { none: "1", sqrt: `√(${ratio})`, linear: ratio }[rule];
  const rows = phases.map(({ step, epoch, learningRate, momentum, weightDecay }) => [
    formatCount(step),
    formatNumber(epoch),
    formatNumber(learningRate),
    formatNumber(momentum),
    formatNumber(weightDecay),
  ]);
  const table = [["step", "epoch", "learning rate", "momentum", "weight decay"], ...rows];
  table.push([formatCount(regime.totalSteps), formatNumber(regime.totalEpochs), "end", "", ""]);
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const lines = [
    `regime ${regime.name}, adaptation ${regime.adaptation}: epochs × ${formatNumber(regime.stretch)}, ` +
      `${formatCount(regime.stepsPerEpoch)} steps per epoch`,
    `learning-rate rule ${rule}, reference batch ${referenceBatchSize}: rates × ${factor} = ${formatNumber(learningRateScale)}`,
  ];
  if (regime.warmupSteps > 0) {
    const start = hyperparametersAt(regime, 0).learningRate;
    lines.push(`warm-up from ${formatNumber(start)} over ${formatCount(regime.warmupSteps)} steps`);
  }
  if (regime.momentumReset === "epoch") {
    const { momentum } = phases[0];
    const gain = formatNumber(meanMomentumGain(momentum, regime.stepsPerEpoch));
    lines.push(
      `momentum reset every epoch: mean gain ${gain} instead of ${formatNumber(1 / (1 - momentum))}`,
    );
  }
  return [
    ...lines,
    ...table.map((row) =>
      row
        .map((cell, i) => cell.padStart(widths[i]))
        .join("  ")
        .trimEnd(),
    ),
  ];
}

/** Steps of this run per epoch of the base regime. */
function stretchedEpoch({
  adaptation,
  batchSize,
  referenceBatchSize,
  stepsPerEpoch,
  ...rest
}: RegimeOptions): number {
  const ratio = batchSize / referenceBatchSize;
  switch (adaptation) {
    case "exact":
      return ratio * stepsPerEpoch;
    case "ceil":
      return Math.ceil(ratio) * stepsPerEpoch;
    case "iteration-matched":
      requireWhole("steps per epoch at the reference batch", rest.referenceStepsPerEpoch ?? Number.NaN);
      return rest.referenceStepsPerEpoch as number;
    default:
      return stepsPerEpoch;
  }
}

function requireRegime({ name, epochs, entries }: BaseRegime): void {
  const first = entries.at(0);
  if (first === undefined || first.epoch !== 0 || first.learningRate === undefined) {
    throw new UsageError(`regime ${name}: expected a first entry with epoch 0 and a learning rate`);
  }
  if (!(epochs > 0)) throw new UsageError(`regime ${name}: expected more than 0 epochs, got ${epochs}`);
  for (const [i, { epoch, learningRate = 1, momentum = 0, weightDecay = 0 }] of entries.entries()) {
    const where = `regime ${name}, entry of epoch ${epoch}`;
    if (i > 0 && !(epoch > entries[i - 1].epoch)) throw new UsageError(`${where}: expected ascending epochs`);
    if (!(learningRate > 0 && learningRate < Number.POSITIVE_INFINITY)) {
      throw new UsageError(`${where}: expected a learning rate above 0, got ${learningRate}`);
    }
    if (!(momentum >= 0 && momentum < 1)) {
      throw new UsageError(`${where}: expected a momentum from 0 to below 1, got ${momentum}`);
    }
    if (!(weightDecay >= 0 && weightDecay < Number.POSITIVE_INFINITY)) {
      throw new UsageError(`${where}: expected a weight decay of 0 or more, got ${weightDecay}`);
    }
  }
}
