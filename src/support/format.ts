// Numbers as people read them. All functions are pure and independent of the machine's locale.

const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const DECIMAL_PREFIXES = ["", "k", "M", "G", "T", "P", "E"];

/** Bytes in binary units, three digits: 512 B, 1.50 KiB, 13.0 GiB. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return "unknown";
  const [value, unit] = scaled(bytes, 1024, BINARY_UNITS);
  return `${unit === "B" ? Math.round(value) : threeDigits(value)} ${unit}`;
}

/** A count with a decimal prefix before its unit, three digits: 2.92 PFLOP, 661 k parameters, 12.3 images. */
export function formatQuantity(value: number, unit: string): string {
  if (!Number.isFinite(value)) return "unknown";
  const [number, prefix] = scaled(value, 1000, DECIMAL_PREFIXES);
  // A prefix belongs to the symbol of a unit (PFLOP, GB), but stands alone before a word (k images).
  const gap = prefix !== "" && /^[a-z]{2}/.test(unit) ? " " : "";
  return `${threeDigits(number)} ${prefix}${gap}${unit}`.trimEnd();
}

/** Six significant digits at most, without trailing zeros: 0.0005, 1.18322. */
export function formatNumber(value: number): string {
  return String(Number(value.toPrecision(6)));
}

/** A whole number with separators: 1,462,794. */
export function formatCount(count: number): string {
  const digits = Math.abs(Math.round(count)).toString();
  return (count < 0 ? "-" : "") + digits.replaceAll(/\B(?=(\d{3})+$)/g, ",");
}

/** A count with its noun: 1 run, 2 runs, 1,462 images. */
export function formatCounted(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** A fraction of 1 in percent, with `digits` decimals: 0.9827 is 98.27 %. */
export function formatPercent(fraction: number, digits = 2): string {
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(digits)} %` : "unknown";
}

/** A time in seconds, in its two largest units: 0.42 ms, 12.3 s, 2 min 05 s, 3 h 02 min, 2 d 03 h. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "unknown";
  if (seconds < 0) return `-${formatDuration(-seconds)}`;
  if (seconds < 0.9995) return `${threeDigits(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${threeDigits(seconds)} s`;
  if (seconds < 3599.5) return split(Math.round(seconds), 60, "min", "s");
  if (seconds < 86_370) return split(Math.round(seconds / 60), 60, "h", "min");
  return split(Math.round(seconds / 3600), 24, "d", "h");
}

function split(total: number, base: number, large: string, small: string): string {
  const rest = String(total % base).padStart(2, "0");
  return `${formatCount(Math.floor(total / base))} ${large} ${rest} ${small}`;
}

/** `value` over the largest power of `base` that leaves its three-digit form below `base`, and that power's name. */
function scaled(value: number, base: number, names: readonly string[]): [number, string] {
  let power = 0;
  let rest = value;
  while (power < names.length - 1 && Math.abs(rest) >= base - 0.5) {
    rest /= base;
    power++;
  }
  return [rest, names[power]];
}

/** Three significant digits, without an exponent: 0.012, 1.23, 12.3, 123, 1234. */
function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995 || size === 0) return size === 0 ? "0" : value.toFixed(2);
  return String(Number(value.toPrecision(3)));
}
