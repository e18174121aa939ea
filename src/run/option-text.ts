/** Documentation of the run options. */
import { flagOf } from "./option-names.ts";
import { RUN_OPTION_GROUPS, type RunOptionKey, runOption } from "./run-options.ts";

/** The default, for readers; null for a switch, which is off. */
function defaultOf(key: RunOptionKey): string | null {
  const { default: fallback, defaultText, unit } = runOption(key);
  if (unit === undefined) return null;
  return defaultText ?? (fallback === undefined ? null : String(fallback));
}

/** The meaning of each word that the option takes, in a clause. */
export function meaningsOf(key: RunOptionKey): Readonly<Record<string, string>> {
  const { value, meanings } = runOption(key);
  return value.choices ?? meanings ?? {};
}

/** " (default: 128)", or nothing. */
export function describeDefault(key: RunOptionKey): string {
  const text = defaultOf(key);
  return text === null ? "" : ` (default: ${text})`;
}

/** docs/OPTIONS.md. */
export function optionsPage(): string {
  const groups = Object.entries(RUN_OPTION_GROUPS).map(([heading, options]) => {
    const rows = (Object.keys(options) as RunOptionKey[]).map(row);
    return `## ${heading}\n\n| flag | key | default | meaning |\n|---|---|---|---|\n${rows.join("\n")}\n`;
  });
  return `${INTRODUCTION}\n${groups.join("\n")}`;
}

const INTRODUCTION = `# Options of a run

<!-- Generated from src/run/run-options.ts by \`npm run docs\`. Do not edit. -->

\`ghostbatch train\` takes these as flags. A configuration file (\`train --config\`) and a sweep (\`ghostbatch sweep\`) take them as
keys; the flag's own name works as a key too, and so do kebab-case and snake_case. Flags override the file. Together they decide
the result of a run, and the hash in the name of its folder. \`ghostbatch train --help\` also lists the options that do not change
a result, such as \`--adapter\` and \`--checkpoint-every\`.
`;

function row(key: RunOptionKey): string {
  const { unit, value, help } = runOption(key);
  const flag = unit === undefined ? flagOf(key) : `${flagOf(key)} <${unit}>`;
  const choices = Object.entries(meaningsOf(key)).map(
    ([word, meaning]) => `<br>\`${word}\`: ${escaped(meaning)}`,
  );
  const valued = unit === undefined ? `${key}: ${flagOf(key).startsWith("--no-") ? "false" : "true"}` : key;
  const range = value.hasRange ? `; ${value.expected}` : "";
  return `| \`${flag}\` | \`${valued}\` | ${escaped(defaultOf(key) ?? "")} | ${escaped(help + range)}${choices.join("")} |`;
}

/** Text in a cell of a Markdown table. */
function escaped(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("_", "\\_");
}
