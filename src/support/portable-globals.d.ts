/**
 * What every host of the portable core has, Node and browsers alike, beyond ECMAScript and WebGPU. The core is compiled with
 * these declarations in place of a host's own (tsconfig.core.json), so that nothing else of a host slips in.
 */

declare const console: {
  log(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};

declare const performance: {
  /** Milliseconds since the program began. */
  now(): number;
};

declare function setTimeout(callback: () => void, ms: number): number;
declare function clearTimeout(timer: number | undefined): void;

/** Of Node; undefined in a browser. */
declare var process: { readonly env?: Readonly<Record<string, string | undefined>> } | undefined;
