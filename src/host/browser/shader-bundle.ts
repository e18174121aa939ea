/** Shaders as part of the bundle: vite puts the text of every file under shaders/ into the program that imports this. */
import type { ShaderSource } from "../../gpu/shader.ts";
import { ShaderError } from "../../support/errors.ts";

const ROOT = "../../../shaders/";

const texts: Readonly<Record<string, string>> = import.meta.glob("../../../shaders/**/*.wgsl", {
  query: "?raw",
  import: "default",
  eager: true,
});

export const bundledShaders: ShaderSource = (path) => {
  const text = texts[`${ROOT}${path}`];
  if (text === undefined) throw new ShaderError(`${path}: there is no such shader under shaders/`);
  return text;
};
