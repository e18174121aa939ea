/** Shaders as files: the same path from src/host/ in a checkout and from dist/host/ in the package. */
import { readFileSync } from "node:fs";
import type { ShaderSource } from "../../gpu/shader.ts";
import { ShaderError } from "../../support/errors.ts";

const ROOT = new URL("../../../shaders/", import.meta.url);

export const shaderFiles: ShaderSource = (path) => {
  try {
    return readFileSync(new URL(path, ROOT), "utf8");
  } catch (cause) {
    throw new ShaderError(`${path}: there is no such shader under shaders/`, { cause });
  }
};
