/** Evaluates expressions of numbers and names: attributes such as @binding(FIRST + 1), and grids. */
import type { Token } from "./wgsl-tokens.ts";

export interface ExpressionRules {
  /** The value of a name; undefined if unknown. */
  value(name: string): number | undefined;
  /** Functions that may be called. */
  readonly functions?: ReadonlyMap<string, (...values: number[]) => number>;
  /** What 3 / 2 is: 1, as in WGSL for whole numbers, or 1.5. */
  readonly division: "whole" | "real";
  /** Throws an error about the token at this index, or about the end of the expression. */
  fail(index: number, message: string): never;
}

/** Conversions do not change a whole number. */
const CONVERSIONS = new Set(["u32", "i32"]);

/** Maximum nesting. Tint's own limit is 127; nobody nests this deep. */
const DEPTH = 100;

/** The values of a comma-separated list of expressions; a trailing comma is allowed. */
export function evaluateList(
  tokens: readonly Token[],
  from: number,
  to: number,
  rules: ExpressionRules,
): number[] {
  let at = from;
  let depth = 0;
  const text = () => (at < to ? tokens[at]!.text : undefined);
  const take = (symbol: string) => {
    const found = text() === symbol;
    if (found) at++;
    return found;
  };
  const expect = (symbol: string) =>
    take(symbol) || rules.fail(at, `expected ${symbol}, found ${text() ?? "the end"}`);
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
      else if (take("/")) value = divide(value, operand());
      else if (take("%")) value %= operand();
      else return value;
    }
  };
  const divide = (a: number, b: number) =>
    rules.division === "whole" && Number.isInteger(a) && Number.isInteger(b) ? Math.trunc(a / b) : a / b;
  const operand = (): number => {
    if (++depth > DEPTH) rules.fail(at, `is nested deeper than ${DEPTH}`);
    const value = innerOperand();
    depth--;
    return value;
  };
  const innerOperand = (): number => {
    if (take("-")) return -operand();
    if (take("(")) return inside(sum);
    const token = at < to ? tokens[at]! : rules.fail(at, "ends too early");
    if (token.kind === "symbol") rules.fail(at, `unexpected ${JSON.stringify(token.text)}`);
    if (token.kind === "number") {
      at++;
      return numberOf(token.text);
    }
    return tokens[at + 1]?.text === "(" && at + 1 < to ? call(token.text) : named(token.text);
  };
  const call = (name: string): number => {
    const convert = CONVERSIONS.has(name) ? (value: number) => value : undefined;
    const run = rules.functions?.get(name) ?? convert ?? rules.fail(at, `there is no function ${name}`);
    at += 2;
    return run(...inside(list));
  };
  const named = (name: string): number => {
    const value = rules.value(name) ?? rules.fail(at, `there is no ${name}`);
    at++;
    return value;
  };
  const inside = <T>(read: () => T): T => {
    const value = read();
    expect(")");
    return value;
  };
  const list = (): number[] => {
    const values = [sum()];
    while (take(",") && at < to && text() !== ")") values.push(sum());
    return values;
  };
  const values = list();
  if (at < to) rules.fail(at, `unexpected ${JSON.stringify(text())}`);
  return values;
}

/** The value of a WGSL number literal: 64u, 0x40, 1.5e3f, 0x1.8p3. */
export function numberOf(text: string): number {
  const hex = /^0[xX]([\da-fA-F]*)\.?([\da-fA-F]*)(?:[pP]([+-]?\d+))?/.exec(text);
  if (!hex) return Number.parseFloat(text);
  const [, whole, fraction, power] = hex;
  const digits = `${whole}${fraction}`;
  return Number.parseInt(digits === "" ? "0" : digits, 16) * 2 ** (Number(power ?? 0) - 4 * fraction!.length);
}
