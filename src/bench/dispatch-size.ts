/**
 * The grid that a kernel file requests on a line `// @dispatch (x, y, z)`: sums, products and quotients of numbers,
 * of the overrides, params and spec constants of the launch, and of constants of the file, with ceil, floor, min and max.
 */
import { marked, type ShaderFile } from "../gpu/shader.ts";
import { evaluateList } from "../gpu/wgsl-expression.ts";
import { WgslSource } from "../gpu/wgsl-source.ts";
import { type Comment, tokenize } from "../gpu/wgsl-tokens.ts";
import { ShaderInterfaceError } from "../support/errors.ts";
import { FUNCTIONS, type Names, ownValue } from "./own-value.ts";

export type Grid = readonly [number, number, number];

/**
 * @param entryPoint the entry point of the line, if the file has several
 * @param names values of the launch
 * @param mostGroups workgroups along one side of a grid that the adapter can dispatch
 * @returns null if the file has no such line
 * @throws ShaderInterfaceError with file, line and column for a line that does not parse or is not a grid
 */
export function dispatchSize(
  file: ShaderFile,
  { entryPoint, names, mostGroups }: { entryPoint: string; names: Names; mostGroups: number },
): Grid | null {
  const comment = dispatchComment(file, entryPoint);
  if (!comment) return null;
  const offset = comment.end - comment.text.length;
  const fail = (at: number, what: string): never => {
    throw new ShaderInterfaceError(`${file.source.place(at)}: @dispatch: ${what}`);
  };
  // The comment's text padded with blanks, so that offsets in it are offsets in the file.
  const inside = " ".repeat(offset) + comment.text.replace("@dispatch", "         ");
  const { tokens, closing } = tokenize(new WgslSource([{ path: file.path, text: inside }]));
  const last = closing.get(0);
  if (tokens[0]?.text !== "(" || last !== tokens.length - 1) fail(comment.start, "expected (x, y, z)");
  const known = [...names.keys()].join(", ");
  const [x, y = 1, z = 1, ...more] = evaluateList(tokens, 1, last!, {
    division: "real",
    functions: FUNCTIONS,
    value: (name) => names.get(name) ?? ownValue(file, name, names),
    fail: (index, message) =>
      fail(
        tokens[index]!.start,
        /^there is no (?!function)/.test(message) ? `${message}; there are ${known}` : message,
      ),
  });
  if (more.length > 0) fail(comment.start, "expected one to three numbers");
  const grid = [x!, y, z] as const;
  if (grid.some((side) => !Number.isInteger(side) || side < 1))
    fail(
      comment.start,
      `gives a grid of ${grid.join(" × ")}; sides must be whole numbers of at least 1 (use ceil)`,
    );
  if (grid.some((side) => side > mostGroups))
    fail(
      comment.start,
      `a grid of ${grid.join(" × ")} workgroups: each side must be from 1 to ${mostGroups}`,
    );
  return grid;
}

/** The line of an entry point: the only one in the file, or the one between the previous function and it. */
function dispatchComment({ source, tokens, declarations }: ShaderFile, entryPoint: string): Comment | null {
  const all = tokens.comments.filter((comment) => marked(comment, "@dispatch") !== null);
  if (all.length <= 1) return all[0] ?? null;
  const entries = declarations.functions.filter(({ stage }) => stage !== null);
  const own = entries.findIndex(({ name }) => name === entryPoint);
  const from = own === 0 ? 0 : entries[own - 1]!.start;
  const to = own === entries.length - 1 ? Number.POSITIVE_INFINITY : entries[own]!.start;
  const mine = all.filter(({ start }) => start >= from && start < to);
  if (mine.length > 1) {
    throw new ShaderInterfaceError(
      `${source.place(mine[1]!.start)}: a second @dispatch line for ${entryPoint}; the first is at ${source.place(mine[0]!.start)}`,
    );
  }
  return mine[0] ?? null;
}
