/** The settings that a visitor can choose, which the page's address contains, and the runs that they determine. */
import { COLUMNS, type Column, cellSpec } from "../paper/columns.ts";
import { ROWS } from "../paper/table1.ts";
import type { RunSpec } from "../run/run-spec.ts";

export const TABS = ["race", "bench"] as const;
export const AXES = ["steps", "samples"] as const;
export const RULES = ["none", "sqrt", "linear"] as const;
export const REGIMES = ["adapted", "ceil", "iteration-matched"] as const;
export const BATCH_SIZES = [128, 256, 512, 1024, 2048, 4096] as const;
export const GHOST_SIZES = [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096] as const;
export const WIDTHS = [32, 64, 128, 256, 512] as const;

export interface Settings {
  readonly tab: (typeof TABS)[number];
  readonly axis: (typeof AXES)[number];
  readonly methods: readonly Column[];
  /** Images of the large batch. */
  readonly batch: number;
  /** Images of a ghost batch; at most `batch`. */
  readonly ghost: number;
  /** Learning-rate rule of +LR, +GBN and +RA. */
  readonly rule: (typeof RULES)[number];
  /** Regime of +RA. */
  readonly regime: (typeof REGIMES)[number];
  readonly seed: number;
  /** Units of a hidden layer. */
  readonly width: number;
  /** The most steps of a run; 0: all steps of its regime. */
  readonly steps: number;
}

/** Row F1 of Table 1 at the small scale of docs/PAPER.md. */
export const F1 = ROWS["f1"]!;

export const DEFAULTS: Settings = {
  tab: "race",
  axis: "steps",
  methods: COLUMNS,
  batch: F1.scales.small.large,
  ghost: F1.scales.small.ghost,
  rule: "sqrt",
  regime: "adapted",
  seed: 0,
  width: 128,
  steps: 0,
};

/** Settings from the part of an address after #. Missing or invalid ones have their default. */
export function settingsOf(hash: string): Settings {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const oneOf = <T extends string>(key: keyof Settings, words: readonly T[]): T =>
    words.find((word) => word === given.get(key)) ?? (DEFAULTS[key] as T);
  const numberOf = (key: keyof Settings, allowed: (value: number) => boolean): number => {
    const text = given.get(key) ?? "";
    return /^\d{1,9}$/.test(text) && allowed(Number(text)) ? Number(text) : (DEFAULTS[key] as number);
  };
  const among = (values: readonly number[]) => (value: number) => values.includes(value);
  const named = given.get("methods")?.split(",") ?? [];
  const methods = COLUMNS.filter((column) => named.includes(column));
  const batch = numberOf("batch", among(BATCH_SIZES));
  return {
    tab: oneOf("tab", TABS),
    axis: oneOf("axis", AXES),
    methods: methods.length > 0 ? methods : DEFAULTS.methods,
    batch,
    ghost: Math.min(batch, numberOf("ghost", among(GHOST_SIZES))),
    rule: oneOf("rule", RULES),
    regime: oneOf("regime", REGIMES),
    seed: numberOf("seed", () => true),
    width: numberOf("width", among(WIDTHS)),
    steps: numberOf("steps", () => true),
  };
}

/** The part of an address after # that `settingsOf` reads as these settings; empty if all have their default. */
export function hashOf(settings: Settings): string {
  const entries = Object.entries(settings).filter(
    ([key, value]) => String(value) !== String(DEFAULTS[key as keyof Settings]),
  );
  return entries.map(([key, value]) => `${key}=${value}`).join("&");
}

/** The run of one method. */
export function raceSpec(
  { batch, ghost, rule, regime, seed, width, steps }: Settings,
  column: Column,
): RunSpec {
  const { small } = F1.scales;
  const setting = { ...small, large: batch, ghost, base: { ...small.base, width } };
  const row = { ...F1, scales: { ...F1.scales, small: setting } };
  const spec = cellSpec(row, { column, scale: "small", seed });
  return {
    ...spec,
    ...(spec.learningRateRule !== "none" && { learningRateRule: rule }),
    ...(spec.regime !== "original" && { regime }),
    ...(steps > 0 && { maxSteps: steps }),
  };
}
