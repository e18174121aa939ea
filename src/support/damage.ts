/** What is wrong with text or data from a file, in this project's words instead of a library's. */
import { DataError, messageOf } from "./errors.ts";

/** A fault that a schema found; the part of zod's issues that is used here. */
export interface SchemaIssue {
  readonly code?: string | undefined;
  readonly path: readonly PropertyKey[];
  readonly message: string;
  readonly expected?: unknown;
  readonly values?: readonly unknown[];
  readonly keys?: readonly string[];
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
  readonly inclusive?: boolean | undefined;
  readonly origin?: string;
}

/** The longest value that a message shows. */
const SHOWN = 60;

/** Parses JSON. @param advice end of the message @throws DataError naming the file */
export function parseJson(text: string, path: string, advice = ""): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const found = text.trim() === "" ? "an empty file" : (placeOf(text, messageOf(cause)) ?? "other text");
    throw new DataError(`${path}: damaged: expected JSON, found ${found}${advice}`, { cause });
  }
}

/** "other text in line 3", if the parser names a position, which it does not in every message. */
function placeOf(text: string, message: string): string | null {
  const position = message.match(/at position (\d+)/)?.[1];
  if (Number(position) >= text.length || /end of JSON/.test(message)) return "an incomplete text";
  if (position === undefined) return null;
  return `other text in line ${text.slice(0, Number(position)).split("\n").length}`;
}

/** The first fault in a value: `series.0.paper: expected a number, found "high"`. */
export function describeFault([issue]: readonly SchemaIssue[], value: unknown): string {
  if (issue === undefined) return "expected other data";
  const found = issue.path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown>)?.[key],
    value,
  );
  const where = issue.path.length === 0 ? "" : `${issue.path.map(String).join(".")}: `;
  return `${where}${expectation(issue, found)}`;
}

function expectation(issue: SchemaIssue, found: unknown): string {
  const { code, values = [], keys = [], message } = issue;
  if (code === "custom") return message;
  if (code === "unrecognized_keys") return `unknown: ${keys.join(", ")}`;
  if (found === undefined) return "missing";
  if (code === "invalid_value")
    return `expected ${values.map((one) => JSON.stringify(one)).join(" or ")}, found ${shortened(found)}`;
  return `expected ${sizeOf(issue) ?? kindOf(issue)}, found ${shortened(found)}`;
}

/** A limit of a number, or of the length of a list or text. */
function sizeOf({ code, minimum, maximum, inclusive = true, origin }: SchemaIssue): string | null {
  if (code !== "too_small" && code !== "too_big") return null;
  const isSmall = code === "too_small";
  const limit = isSmall
    ? `${inclusive ? "at least" : "more than"} ${minimum}`
    : `${inclusive ? "at most" : "less than"} ${maximum}`;
  return origin === "array" ? `${limit} entries` : origin === "string" ? `${limit} characters` : limit;
}

function kindOf({ code, expected }: SchemaIssue): string {
  const kinds: Readonly<Record<string, string>> = {
    int: "a whole number",
    number: "a number",
    string: "text",
    boolean: "true or false",
    array: "a list",
    tuple: "a list",
    object: "named values",
    record: "named values",
    null: "null",
  };
  return code === "invalid_type" ? (kinds[String(expected)] ?? String(expected)) : "another value";
}

/** A value for a message: as JSON, cut if it is long. */
export function shortened(value: unknown): string {
  const isNumber = typeof value === "number"; // JSON has no NaN
  const text = isNumber ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}…`;
}
