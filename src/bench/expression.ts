/** Arithmetic in the comments of kernel files: sums, products and quotients of numbers and names, with ceil, floor, min and max. */
import { evaluateList } from "../gpu/wgsl-expression.ts";
import { WgslSource } from "../gpu/wgsl-source.ts";
import { tokenize } from "../gpu/wgsl-tokens.ts";
import { FUNCTIONS, type Names } from "./own-value.ts";

/**
 * The values of expressions separated by commas.
 * @param names values of the names that they may use
 * @param fail throws an error
 */
export function evaluate(text: string, names: Names, fail: (what: string) => never): number[] {
  const { tokens } = tokenize(new WgslSource([{ path: "", text }]));
  return evaluateList(tokens, 0, tokens.length, {
    division: "real",
    functions: FUNCTIONS,
    value: (name) => names.get(name),
    fail: (_, message) => fail(message),
  });
}
