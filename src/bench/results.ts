/** bench/results/ADAPTER.md: the tables of the last runs on an adapter, a section for each kind of benchmark. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { RunEnvironment } from "../storage/run-folder.ts";
import { DataError, messageOf } from "../support/errors.ts";
import { adapterLine } from "./output.ts";

/** Where numbers come from: command, commit, driver, how many. */
export function provenance(
  { name: driver }: Pick<AdapterFacts, "name">,
  environment: RunEnvironment,
  n: number,
): string {
  const { command, git, versions } = environment;
  const commit = git
    ? `commit ${git.hash.slice(0, 10)}${git.dirty ? " with changes" : ""}`
    : "no commit known";
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `\`${command}\`; ${commit}; driver ${driver}; ${programs.join(", ")}; medians of ${n}`;
}

/** The file's name for an adapter: its letters and digits. */
export function resultsFile(folder: string, { name }: Pick<AdapterFacts, "name">): string {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, "-")
    .replaceAll(/^-|-$/g, "");
  return join(folder, `${plain}.md`);
}

/**
 * Puts a section into the adapter's file in the place of the one with the same title, or at the end.
 * @returns the file's path
 * @throws DataError when it cannot be written
 */
export function saveSection(folder: string, adapter: AdapterFacts, title: string, body: string): string {
  const path = resultsFile(folder, adapter);
  const head = `<!-- ${adapterLine(adapter)} -->\n# ${adapter.name}\n\n${adapterLine(adapter)}.\n`;
  const [, ...sections] = read(path).split(/^(?=## )/m);
  const section = `## ${title}\n\n${body.trim()}\n`;
  const at = sections.findIndex((one) => one.startsWith(`## ${title}\n`));
  if (at < 0) sections.push(section);
  else sections[at] = section;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, [head, ...sections].map((part) => `${part.trim()}\n`).join("\n"));
  } catch (cause) {
    throw new DataError(`${path}: cannot be written: ${messageOf(cause)}`, { cause });
  }
  return path;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the first run on this adapter
  }
}
