/** Shaders by their path under shaders/. */
import type { ShaderSource } from "../../gpu/shader.ts";
import { ShaderError } from "../../support/errors.ts";

/** Where the bundles import from. */
const ROOT = "../../../shaders/";

/** The shaders that a program carries. */
export interface ShaderBundle {
  readonly source: ShaderSource;
  /** Whether there is a shader of this path. */
  holds(path: string): boolean;
}

/** @param texts by path from src/host/browser/ */
export function bundleOf(texts: Readonly<Record<string, string>>): ShaderBundle {
  const source = (path: string) => {
    const text = texts[`${ROOT}${path}`];
    if (text === undefined) throw new ShaderError(`${path}: there is no such shader in this page`);
    return text;
  };
  return { source, holds: (path) => Object.hasOwn(texts, `${ROOT}${path}`) };
}
