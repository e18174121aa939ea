/**
 * The grid that a kernel file asks for itself, on a line `// @dispatch (x, y, z)`: sums, products and quotients of numbers
 * and of the overrides, params and spec constants of the launch, with ceil, min and max.
 */
import { ShaderError } from "../support/errors.ts";
import { evaluate } from "./expression.ts";

const LINE = /^\/\/\s*@dispatch\b(.*)$/m;

export type Grid = readonly [number, number, number];

/**
 * @param names what expressions may name
 * @returns null where the file has no such line
 * @throws ShaderError with file and line for one that does not parse or makes no grid
 */
export function dispatchSize(path: string, code: string, names: ReadonlyMap<string, number>): Grid | null {
  const found = LINE.exec(code);
  if (!found) return null;
  const line = code.slice(0, found.index).split("\n").length;
  const fail = (what: string): never => {
    throw new ShaderError(`${path}:${line}: @dispatch: ${what}`);
  };
  const inner = found[1]!.trim().match(/^\((.*)\)$/)?.[1] ?? fail("expected (x, y, z)");
  const [x, y = 1, z = 1, ...more] = evaluate(inner, names, fail);
  if (more.length > 0) fail("expected one to three numbers");
  const grid = [x!, y, z] as const;
  if (grid.some((side) => !Number.isInteger(side) || side < 1)) {
    fail(`makes a grid of ${grid.join(" × ")}; sides are whole numbers from 1 (use ceil)`);
  }
  return grid;
}
