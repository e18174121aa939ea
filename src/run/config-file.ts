/** Reads YAML files of run options. Every error names the file and the line. */
import { join } from "node:path";
import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument, visit } from "yaml";
import { readTextFile } from "../storage/text-file.ts";
import { shortened } from "../support/damage.ts";
import { DataError, UsageError } from "../support/errors.ts";
import { OptionError, readOptions } from "./read-options.ts";
import type { RunOptionKey } from "./run-options.ts";
import { completeSpec, type RunSpec, type RunSpecInput } from "./run-spec.ts";

/**
 * The run options given in a user's file.
 * @throws DataError if the file cannot be read; UsageError for invalid YAML, an unknown key or a wrong value
 */
export function readConfig(path: string): RunSpecInput {
  return readYaml(path, (data) => readOptions(data));
}

/** Options that decide what was trained. A record without one of them is not a run's. */
const ESSENTIAL: readonly RunOptionKey[] = [
  "dataset",
  "model",
  "batchSize",
  "baseRegime",
  "referenceBatchSize",
];

/**
 * The configuration of a run folder. Keys that have been renamed since are understood.
 * @throws DataError or UsageError if it is not a run folder, or its record is damaged
 */
export function specOfRun(folder: string): RunSpec {
  const path = join(folder, "config.yaml");
  const given = readYaml(path, (data) => readOptions(data, { formerKeys: true }));
  const missing = ESSENTIAL.find((key) => given[key] === undefined);
  if (missing !== undefined) throw new DataError(`${path}: damaged: ${missing} is missing`);
  return completeSpec(given);
}

/** Largest file, bytes. All options with comments take 5 KiB, a grid of 10,000 seeds 60. The parser reads a few MiB per second. */
const LARGEST_YAML = 256 * 2 ** 10;

/**
 * The data of a YAML file, as interpreted by `read`, which may throw OptionError.
 * @throws as readConfig
 */
export function readYaml<T>(path: string, read: (data: unknown) => T): T {
  const text = readTextFile(path, { most: LARGEST_YAML, orPipe: true });
  if (/[\ufffd\0]/.test(text)) throw new UsageError(`${path}: expected YAML in UTF-8, found other bytes`);
  if (text.trim() === "")
    throw new UsageError(`${path}: expected options, as in "batchSize: 64", found an empty file`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  // A warning is about a tag or directive that the parser ignores.
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) {
    const { line } = lines.linePos(problem.pos[0]);
    throw new UsageError(
      `${path}:${line}: ${yamlFault(problem.code, text.slice(problem.pos[0]), text.split("\n")[line - 1]!.trim())}`,
    );
  }
  requirePlain(document, path, lines);
  const data = plainValue(path, () => document.toJS({ maxAliasCount: 100 }));
  try {
    return read(data);
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    const start = startOf(document, error.path);
    const line = start === undefined ? 1 : lines.linePos(start).line;
    const at = error.path.length === 0 ? "" : ` ${error.path.join(".")}:`;
    throw new UsageError(`${path}:${line}:${at} ${error.message}`, { cause: error });
  }
}

/** What is wrong with text that is not the YAML of options. @param rest the text from the fault on @param line the whole line */
function yamlFault(code: string, rest: string, line: string): string {
  switch (code) {
    case "MULTIPLE_DOCS":
      return "expected one document, found another after ---; put it in a separate file";
    case "DUPLICATE_KEY":
      return `${rest.split(":", 1)[0]!.trim()} is given twice; keep one of them`;
    case "TAB_AS_INDENT":
      return "expected spaces before a key, found a tab";
    case "MISSING_CHAR":
      return "a quotation mark, bracket or comma is missing in this line or before it";
    case "TAG_RESOLVE_FAILED":
      return `expected a value without a tag, found ${shortened(rest.split("\n", 1)[0]!.trim())}`;
    default:
      return `expected options, as in "batchSize: 64", found ${shortened(line)}; check indentation, quotation marks and brackets`;
  }
}

/** @throws UsageError for a key that is a list or map, which no option has */
function requirePlain(document: Document.Parsed, path: string, lines: LineCounter): void {
  visit(document, {
    Pair: (_, { key }) => {
      if (isScalar(key)) return;
      const { line } = lines.linePos((key as Node | null)?.range?.[0] ?? 0);
      throw new UsageError(`${path}:${line}: expected the name of an option before the colon`);
    },
  });
}

/** The library throws for aliases that refer to nothing, to themselves, or to far too much. */
function plainValue(path: string, toJS: () => unknown): unknown {
  try {
    return toJS() ?? {};
  } catch (cause) {
    const what =
      "expected values, found an alias (*name) without its anchor (&name), or too many; write out the value";
    throw new UsageError(`${path}: ${what}`, { cause });
  }
}

/** The position of a key in the text, or of the map in which it is missing. */
function startOf(document: Document.Parsed, path: readonly (string | number)[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const parent = nodeAt(document, path.slice(0, length - 1));
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && String(key.value) === path[length - 1])
      : undefined;
    const node = pair ? (pair.key as Node) : nodeAt(document, path.slice(0, length));
    if (node?.range) return node.range[0];
  }
  return document.contents?.range?.[0];
}

function nodeAt(document: Document.Parsed, path: readonly (string | number)[]): Node | undefined {
  if (path.length === 0) return document.contents ?? undefined;
  try {
    return document.getIn(path, true) as Node | undefined;
  } catch {
    return undefined; // the path leads through an alias
  }
}
