/** As shader-bundle.ts, with the shaders' comments: for whoever reads them. */
import type { ShaderSource } from "../../gpu/shader.ts";
import { shadersOf } from "./shader-texts.ts";

export const annotatedShaders: ShaderSource = shadersOf(
  import.meta.glob("../../../shaders/**/*.wgsl", { query: "?raw", import: "default", eager: true }),
);
