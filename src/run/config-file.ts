/** A YAML file of run options; every complaint names the file and the line. */
import { readFileSync } from "node:fs";
import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument } from "yaml";
import { z } from "zod";
import { fileError } from "../storage/file-error.ts";
import { closest } from "../support/closest.ts";
import { messageOf, UsageError } from "../support/errors.ts";
import { RunSpec, type RunSpecInput } from "./run-spec.ts";

/**
 * The run options in a file, checked as far as they are given.
 * @throws DataError when the file cannot be read; UsageError for YAML that does not parse, an unknown key, a wrong value
 */
export function readConfig(path: string): Partial<RunSpecInput> {
  const { value, checked } = readYaml(path, RunSpec.partial());
  // Defaults that the schema filled in must not override options of the command line's own defaults.
  const given = new Set(Object.keys(value as object));
  return Object.fromEntries(Object.entries(checked).filter(([key]) => given.has(key)));
}

/**
 * A YAML file of any schema: what it says, and that with the schema's defaults.
 * @throws as readConfig
 */
export function readYaml<S extends z.ZodType>(
  path: string,
  schema: S,
): { value: unknown; checked: z.output<S> } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem) {
    const what =
      problem.code === "MULTIPLE_DOCS"
        ? "expected one document, found another after ---: put it into a file of its own"
        : messageOf(problem);
    throw new UsageError(`${path}:${lines.linePos(problem.pos[0]).line}: ${what}`);
  }
  const value = plainValue(path, () => document.toJS({ maxAliasCount: 100 }));
  const result = schema.safeParse(value);
  if (result.success) return { value, checked: result.data };
  // A misspelt key is both unknown and missing: the first says more.
  const issue =
    result.error.issues.find(({ code }) => code === "unrecognized_keys") ?? result.error.issues[0]!;
  const at = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]!] : issue.path;
  const start = startOf(document, at);
  const line = start === undefined ? 1 : lines.linePos(start).line;
  throw new UsageError(`${path}:${line}: ${at.join(".") || "file"}: ${complaint(issue, schema)}`);
}

/** Aliases may refer to what is not there, to themselves, or to far too much: the library throws then. */
function plainValue(path: string, toJS: () => unknown): unknown {
  try {
    return toJS() ?? {};
  } catch (cause) {
    throw new UsageError(`${path}: ${messageOf(cause)}`, { cause });
  }
}

/** Where in the text a key stands, or what it should have been in. */
function startOf(document: Document.Parsed, path: PropertyKey[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const parent = nodeAt(document, path.slice(0, length - 1));
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && key.value === path[length - 1])
      : undefined;
    const node = pair ? (pair.key as Node) : nodeAt(document, path.slice(0, length));
    if (node?.range) return node.range[0];
  }
  return document.contents?.range?.[0];
}

function nodeAt(document: Document.Parsed, path: PropertyKey[]): Node | undefined {
  if (path.length === 0) return document.contents ?? undefined;
  try {
    return document.getIn(path, true) as Node | undefined;
  } catch {
    return undefined; // the path leads through an alias
  }
}

function complaint(issue: z.core.$ZodIssue, schema: z.ZodType): string {
  if (issue.code !== "unrecognized_keys") return issue.message;
  const known = issue.path.length === 0 && schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
  const near = closest(issue.keys[0]!, known);
  return near === null ? "there is no such option" : `there is no such option; did you mean ${near}?`;
}
