/**
 * Globals beyond ECMAScript and WebGPU that both Node and browsers have. The portable core is compiled with
 * these declarations instead of a host's own (tsconfig.core.json), so it cannot use anything else of a host.
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

/** Node only; undefined in a browser. */
declare var process: { readonly env?: Readonly<Record<string, string | undefined>> } | undefined;
