/** The list of the benchmarks' passes. To add those of an op, write its file and add a line here. */
import { UsageError } from "../../support/errors.ts";
import type { Pass } from "../pass.ts";
import { conv2dPasses } from "./conv2d.ts";
import { conv2dThroughNormPasses } from "./conv2d-through-norm.ts";
import { dataPasses } from "./data.ts";
import { elementwisePasses } from "./elementwise.ts";
import { ghostBatchNormPasses } from "./ghost-batch-norm.ts";
import { guardPasses } from "./guards.ts";
import { lossPasses } from "./loss.ts";
import { matmulPasses } from "./matmul.ts";
import { optimizerPasses } from "./optimizer.ts";
import { poolingPasses } from "./pooling.ts";

export const PASSES: readonly Pass[] = [
  ...conv2dPasses,
  ...conv2dThroughNormPasses,
  ...matmulPasses,
  ...ghostBatchNormPasses,
  ...poolingPasses,
  ...elementwisePasses,
  ...lossPasses,
  ...optimizerPasses,
  ...dataPasses,
  ...guardPasses,
];

/** The op of a pass or a kernel's file: the part before the slash. */
export function opOf(name: string): string {
  return name.split("/")[0]!;
}

/** The passes of the named ops, or the named passes themselves; without names, all. @throws UsageError for unknown names */
export function passesOf(names: readonly string[]): readonly Pass[] {
  const known = new Set(PASSES.flatMap(({ name }) => [name, opOf(name)]));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    const ops = [...new Set(PASSES.map(({ name }) => opOf(name)))].sort();
    throw new UsageError(
      `bench: unknown op or pass ${JSON.stringify(unknown)}; the ops are ${ops.join(", ")}`,
    );
  }
  return names.length === 0
    ? PASSES
    : PASSES.filter(({ name }) => names.includes(name) || names.includes(opOf(name)));
}
