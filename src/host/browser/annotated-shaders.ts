/** All shaders with their comments, for readers. */
import { bundleOf } from "./shader-bundle.ts";

export const annotatedShaders = bundleOf(
  import.meta.glob("../../../shaders/**/*.wgsl", { query: "?raw", import: "default", eager: true }),
);
