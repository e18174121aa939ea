/** A YAML file of run options; every complaint names the file and the line. */
import { readFileSync } from "node:fs";
import { LineCounter, type Node, parseDocument } from "yaml";
import { RunSpec, type RunSpecInput } from "../experiments/run-spec.ts";
import { DataError, UsageError } from "../support/errors.ts";

/**
 * The options in a file, checked as far as they are given.
 * @throws DataError when the file cannot be read; UsageError for YAML that does not parse, an unknown key, a wrong value
 */
export function readConfig(path: string): Partial<RunSpecInput> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new DataError(`--config ${path}: cannot be read: ${(cause as Error).message}`, { cause });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problem = document.errors[0];
  if (problem) throw new UsageError(`${path}:${lines.linePos(problem.pos[0]).line}: ${problem.message}`);
  const value = (document.toJS({ maxAliasCount: 100 }) ?? {}) as unknown;
  const result = RunSpec.partial().safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    const at = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]!] : issue.path;
    const node = document.getIn(at as (string | number)[], true) as Node | undefined;
    const line = node?.range ? lines.linePos(node.range[0]).line : 1;
    throw new UsageError(`${path}:${line}: ${at.join(".") || "file"}: ${issue.message}`);
  }
  // Defaults that the schema filled in must not override options of the command line's own defaults.
  const given = new Set(Object.keys(value as object));
  return Object.fromEntries(Object.entries(result.data).filter(([key]) => given.has(key)));
}
