/** bench/results/ADAPTER.md: the tables of the last runs on an adapter, with a section for each kind of benchmark. */

import { join } from "node:path";
import type { AdapterFacts } from "../gpu/adapter.ts";
import { writeFileAtomically } from "../storage/atomic-file.ts";
import { makeFolder } from "../storage/folder.ts";
import type { RunEnvironment } from "../storage/run-folder.ts";
import { readTextFileIfAny } from "../storage/text-file.ts";
import { adapterLine } from "./output.ts";

/** Origin of the numbers: command, commit, driver, n. */
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

/** The file name for an adapter: its letters and digits. */
export function resultsFile(folder: string, { name }: Pick<AdapterFacts, "name">): string {
  const plain = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, "-")
    .replaceAll(/^-|-$/g, "");
  return join(folder, `${plain}.md`);
}

/**
 * Writes a section to the adapter's file, replacing the one with the same title, or at the end.
 * @returns the file's path
 * @throws DataError if it cannot be written
 */
export async function saveSection(
  folder: string,
  adapter: AdapterFacts,
  title: string,
  body: string,
): Promise<string> {
  const path = resultsFile(folder, adapter);
  const head = `<!-- ${adapterLine(adapter)} -->\n# ${adapter.name}\n\n${adapterLine(adapter)}.\n`;
  // The file does not exist before the first run on this adapter.
  const [, ...sections] = (readTextFileIfAny(path) ?? "").split(/^(?=## )/m);
  const section = `## ${title}\n\n${body.trim()}\n`;
  const at = sections.findIndex((one) => one.startsWith(`## ${title}\n`));
  if (at < 0) sections.push(section);
  else sections[at] = section;
  await makeFolder(folder);
  await writeFileAtomically(path, [head, ...sections].map((part) => `${part.trim()}\n`).join("\n"));
  return path;
}
