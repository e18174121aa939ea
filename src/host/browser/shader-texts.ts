/** Shaders by their path under shaders/. */
import type { ShaderSource } from "../../gpu/shader.ts";
import { ShaderError } from "../../support/errors.ts";

/** Where the bundles import from. */
const ROOT = "../../../shaders/";

/** @param texts by path from src/host/browser/ */
export function shadersOf(texts: Readonly<Record<string, string>>): ShaderSource {
  return (path) => {
    const text = texts[`${ROOT}${path}`];
    if (text === undefined) throw new ShaderError(`${path}: there is no such shader under shaders/`);
    return text;
  };
}
