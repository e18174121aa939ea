/** Scales of experiments: minutes on a CPU, the paper's setting, or a fraction of the paper's epochs. */
import { UsageError } from "../support/errors.ts";

export type Scale = "small" | "full" | number;

/** @throws UsageError for anything but small, full, and a number above 0 and below 1 */
export function parseScale(text: string): Scale {
  if (text === "small" || text === "full") return text;
  const fraction = Number(text);
  if (text.trim() !== "" && fraction > 0 && fraction < 1) return fraction;
  throw new UsageError(
    `--scale ${text}: expected small, full, or a fraction of the paper's epochs such as 0.1`,
  );
}

/** Describes a scale, for a caption. */
export function describeScale(scale: Scale): string {
  if (scale === "full") return "the paper's scale";
  if (scale === "small") return "a small-scale run, not the paper's setting";
  return `the paper's setting, with the epochs of the regime multiplied by ${scale}`;
}

/** The settings for a fraction of the paper's experiment. */
export function settingsOf(scale: Scale): { readonly base: "small" | "full"; readonly epochScale: number } {
  return typeof scale === "number" ? { base: "full", epochScale: scale } : { base: scale, epochScale: 1 };
}
