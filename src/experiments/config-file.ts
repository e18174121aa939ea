/** A YAML file of run options; every complaint names the file and the line. */
import { readFileSync } from "node:fs";
import { LineCounter, type Node, parseDocument } from "yaml";
import type { z } from "zod";
import { fileError } from "../storage/file-error.ts";
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
export function readYaml<S extends z.ZodType>(path: string, schema: S): { value: unknown; checked: z.output<S> } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem) throw new UsageError(`${path}:${lines.linePos(problem.pos[0]).line}: ${messageOf(problem)}`);
  const value = plainValue(path, () => document.toJS({ maxAliasCount: 100 }));
  const result = schema.safeParse(value);
  if (result.success) return { value, checked: result.data };
  const issue = result.error.issues[0]!;
  const at = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]!] : issue.path;
  const node = nodeAt(document, at);
  const line = node?.range ? lines.linePos(node.range[0]).line : 1;
  throw new UsageError(`${path}:${line}: ${at.join(".") || "file"}: ${issue.message}`);
}

/** Aliases may refer to what is not there, to themselves, or to far too much: the library throws then. */
function plainValue(path: string, toJS: () => unknown): unknown {
  try {
    return toJS() ?? {};
  } catch (cause) {
    throw new UsageError(`${path}: ${messageOf(cause)}`, { cause });
  }
}

function nodeAt(document: { getIn(path: PropertyKey[], keep: true): unknown }, path: PropertyKey[]): Node | undefined {
  try {
    return document.getIn(path, true) as Node | undefined;
  } catch {
    return undefined; // the path leads through an alias
  }
}
