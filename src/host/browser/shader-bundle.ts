/**
 * Shaders as part of the bundle: vite puts the text of every file under shaders/ into the program that imports this. Without
 * comments (scripts/build-page.mjs) they are half as long; lines keep their numbers.
 */
import type { ShaderSource } from "../../gpu/shader.ts";
import { shadersOf } from "./shader-texts.ts";

export const bundledShaders: ShaderSource = shadersOf(
  import.meta.glob("../../../shaders/**/*.wgsl", { query: "?bare", import: "default", eager: true }),
);
