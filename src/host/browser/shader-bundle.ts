/** Bundled shaders, by their path under shaders/. */
import type { ShaderSource } from "../../gpu/shader.ts";
import { ShaderError } from "../../support/errors.ts";

/** The folder from which the bundles import. */
const ROOT = "../../../shaders/";

/** The shaders bundled with a program. */
export interface ShaderBundle {
  readonly source: ShaderSource;
  /** Whether it has a shader with this path. */
  holds(path: string): boolean;
}

/** @param texts texts by path relative to src/host/browser/ */
export function bundleOf(texts: Readonly<Record<string, string>>): ShaderBundle {
  const source = (path: string) => {
    const text = texts[`${ROOT}${path}`];
    if (text === undefined) throw new ShaderError(`${path}: not among the shaders of this page`);
    return text;
  };
  return { source, holds: (path) => Object.hasOwn(texts, `${ROOT}${path}`) };
}
