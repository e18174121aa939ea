/**
 * The grid that a kernel file asks for itself, on a line `// @dispatch (x, y, z)`: sums, products and quotients of numbers
 * and of the overrides, params and spec constants of the launch, with ceil, min and max.
 */
import { ShaderError } from "../support/errors.ts";

const LINE = /^\/\/\s*@dispatch\b(.*)$/m;
const TOKEN = /\s*(\d+(?:\.\d+)?|\w+|[-+*/(),])/y;

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
  const tokens = tokenize(inner, fail);
  let at = 0;
  const take = (token: string) => {
    const found = tokens[at] === token;
    if (found) at++;
    return found;
  };
  const expect = (token: string) =>
    take(token) || fail(`expected ${token}, found ${tokens[at] ?? "the end"}`);

  const sum = (): number => {
    let value = product();
    for (;;) {
      if (take("+")) value += product();
      else if (take("-")) value -= product();
      else return value;
    }
  };
  const product = (): number => {
    let value = operand();
    for (;;) {
      if (take("*")) value *= operand();
      else if (take("/")) value /= operand();
      else return value;
    }
  };
  const operand = (): number => {
    if (take("(")) {
      const value = sum();
      expect(")");
      return value;
    }
    const token = tokens[at++] ?? fail("ends too early");
    if (/^\d/.test(token)) return Number(token);
    const call = { ceil: Math.ceil, min: Math.min, max: Math.max }[token];
    if (call) {
      expect("(");
      const values = list();
      expect(")");
      return call(...(values as [number]));
    }
    const known = [...names.keys()].join(", ");
    return names.get(token) ?? fail(`there is no ${token}; there are ${known}`);
  };
  const list = (): number[] => {
    const values = [sum()];
    while (take(",")) values.push(sum());
    return values;
  };

  const [x, y = 1, z = 1, ...more] = list();
  if (at < tokens.length || more.length > 0) fail("expected one to three numbers");
  const grid = [x!, y, z] as const;
  if (grid.some((side) => !Number.isInteger(side) || side < 1)) {
    fail(`makes a grid of ${grid.join(" × ")}; sides are whole numbers from 1 (use ceil)`);
  }
  return grid;
}

function tokenize(text: string, fail: (what: string) => never): string[] {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) return fail(`does not understand ${JSON.stringify(text.slice(at).trim())}`);
    tokens.push(match[1]!);
  }
  return tokens;
}
