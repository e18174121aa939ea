/** Named numbers of a kernel file. */
import type { Declarations } from "../gpu/wgsl-declarations.ts";
import { evaluateList } from "../gpu/wgsl-expression.ts";
import type { WgslTokens } from "../gpu/wgsl-tokens.ts";

/** Values of a launch by name. */
export type Names = ReadonlyMap<string, number>;

/** Functions of WGSL that a grid may call. */
export const FUNCTIONS: ReadonlyMap<string, (...values: number[]) => number> = new Map([
  ["ceil", Math.ceil],
  ["floor", Math.floor],
  ["min", Math.min],
  ["max", Math.max],
]);

/** The value of a constant of the file, or of an override that is not set. */
export function ownValue(
  { tokens, declarations }: { tokens: WgslTokens; declarations: Declarations },
  name: string,
  names: Names,
): number | undefined {
  const unknown = new Error("not a number that is known here");
  const find = (wanted: string, inside: ReadonlySet<string>): number | undefined => {
    if (names.has(wanted)) return names.get(wanted);
    const value = declarations.values.find(
      (one) => one.name === wanted && one.keyword !== "alias" && !inside.has(wanted),
    );
    if (!value?.value) return undefined;
    return evaluateOwn(tokens, value.value, (other) => find(other, new Set([...inside, wanted])), unknown);
  };
  try {
    return find(name, new Set());
  } catch (error) {
    if (error !== unknown) throw error;
    return undefined;
  }
}

function evaluateOwn(
  { tokens }: WgslTokens,
  [from, to]: readonly [number, number],
  value: (name: string) => number | undefined,
  unknown: Error,
): number | undefined {
  return evaluateList(tokens, from, to, {
    division: "whole",
    functions: FUNCTIONS,
    value,
    fail: () => {
      throw unknown;
    },
  })[0];
}
