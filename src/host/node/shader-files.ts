/** Reads shaders from files: the relative path is the same from src/host/ in a checkout and from dist/host/ in the package. */
import { readFileSync } from "node:fs";
import type { ShaderSource } from "../../gpu/shader.ts";
import { ShaderError } from "../../support/errors.ts";

const ROOT = new URL("../../../shaders/", import.meta.url);

export const shaderFiles: ShaderSource = (path) => {
  const place = new URL(path, ROOT);
  try {
    if (!place.href.startsWith(ROOT.href)) throw new Error("outside of shaders/");
    return readFileSync(place, "utf8");
  } catch (cause) {
    throw new ShaderError(`${path}: no such shader in shaders/`, { cause });
  }
};
