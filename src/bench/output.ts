/** Formats of results. The first line of every text names the adapter, and says whether it is a CPU. */
import type { AdapterFacts } from "../gpu/adapter.ts";

/** The line before any number. */
export function adapterLine({ name, software }: Pick<AdapterFacts, "name" | "software">): string {
  return software
    ? `SOFTWARE ADAPTER: the CPU computes, so these are not a GPU's times; ${name}`
    : `adapter: ${name}`;
}

/** JSON whose first line has the adapter and whether it is software. */
export function jsonText(
  { name, software }: Pick<AdapterFacts, "name" | "software">,
  result: object,
): string {
  const rest = JSON.stringify(result, null, 2).replace(/^\{\n?/, "");
  const first = `{"adapter": ${JSON.stringify(name)}, "software": ${software}`;
  return rest === "}" ? `${first}}` : `${first},\n${rest}`;
}

/** A Markdown table that is also aligned as plain text: the first `left` columns left-aligned, numbers right-aligned. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], left = 1): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (i < left ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => (i < left ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [line(head), rule, ...rows.map(line)].join("\n");
}

/** Digits of numbers in tables for programs: more than any measurement has. */
const PRECISION = 6;

/** Comma-separated values, each row with its adapter; texts are quoted if necessary. */
export function csv(
  adapter: Pick<AdapterFacts, "name" | "software">,
  rows: readonly Readonly<Record<string, string | number>>[],
): string {
  const { name, software } = adapter;
  const whole = rows.map((row) => ({ adapter: name, software: `${software}`, ...row }));
  const columns = Object.keys(whole[0] ?? {});
  const text = (value: string | number) =>
    typeof value === "number" && !Number.isInteger(value)
      ? `${Number(value.toPrecision(PRECISION))}`
      : `${value}`;
  const cell = (value: string | number) =>
    /[",\n]/.test(text(value)) ? `"${text(value).replaceAll('"', '""')}"` : text(value);
  const lines = whole.map((row: Readonly<Record<string, string | number>>) =>
    columns.map((column) => cell(row[column]!)).join(","),
  );
  return [columns.join(","), ...lines, ""].join("\n");
}

/** A number with three digits, without an exponent if readable. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995) return value.toFixed(2);
  return size >= 0.01 ? value.toFixed(3) : value.toExponential(1);
}
