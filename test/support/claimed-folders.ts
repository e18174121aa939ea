// Run folders without runs: claimed, abandoned, and taken over.

import { readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { thisProcess } from "../../src/storage/process-identity.ts";
import { RunFolder } from "../../src/storage/run-folder.ts";
import type { MessageSink } from "../../src/support/messages.ts";

export const COLUMNS = ["step", "loss", "note"] as const;
export const environment = {
  command: "ghostbatch train",
  git: { hash: "abc", dirty: false },
  versions: { node: "20" },
  adapter: null,
};

export function claimIn(runsDirectory: string, name: string) {
  const rates = [0.1, 0.01];
  const configuration = { rates, again: rates };
  return RunFolder.claim({ runsDirectory, name, configuration, environment, columns: COLUMNS });
}

/** Makes a run folder look as if it belongs to a dead process, or to one on another machine. */
export function abandon(path: string, changed: object = { pid: 2 ** 30 }): void {
  writeFileSync(lockOf(path), JSON.stringify({ ...thisProcess(), ...changed }));
}

/** Makes a file look as if ten signs of life were missed. */
export function silence(path: string): void {
  const then = new Date(Date.now() - 301_000);
  utimesSync(path, then, then);
}

/** The one lock of a run folder. */
export function lockOf(path: string): string {
  const locks = readdirSync(path).filter((name) => /^lock-\d+\.json$/.test(name));
  if (locks.length !== 1) throw new Error(`${path}: expected one lock, found ${locks.join(", ") || "none"}`);
  return join(path, locks[0]!);
}

export function resume(
  path: string,
  { columns = COLUMNS, report = () => undefined }: { columns?: readonly string[]; report?: MessageSink } = {},
) {
  return RunFolder.resume(path, { columns, environment, report });
}
