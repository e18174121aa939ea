/**
 * Subgroup matrices of any size on any adapter: rewrites a kernel so that the first lane of a subgroup computes with arrays in plain
 * loops. A left or right matrix becomes its place in workgroup memory, where the product reads it; sums become an array. The rest of
 * the kernel, and its line numbers, do not change.
 */
import type { AdapterFacts } from "../../src/gpu/adapter.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import type { MatrixSize } from "../../src/gpu/matrices.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";

/** Lanes of an emulated subgroup. With more lanes each fetches fewer numbers, and compilers unroll these fetches. */
const LANES = 32;

/** A GPU on the device of another one that appears to have these matrices. */
export function emulatingGpu({ device, adapter }: Gpu, matrices: readonly MatrixSize[]): Gpu {
  const facts: AdapterFacts = { ...adapter, matrices, subgroupMinSize: LANES, subgroupMaxSize: LANES };
  const gpu = new Gpu(device, facts, (path) => emulated(shaderFiles(path)));
  gpu.variant = "matrix";
  return gpu;
}

/** WGSL without subgroup matrices; unchanged if it has none. */
export function emulated(code: string): string {
  if (!code.includes("subgroup_matrix_result")) return code;
  const [left, right] = [operand(code, "Left"), operand(code, "Right")];
  const [, columns] = /alias Sums = subgroup_matrix_result<f32, (\w+), \w+>/.exec(code)!;
  const [, depth, rows] = /alias Left = subgroup_matrix_left<\w+, (\w+), (\w+)>/.exec(code)!;
  const rewritten = code
    .replace(/^enable (subgroups|chromium_experimental_subgroup_matrix);/gm, "")
    .replace(/@builtin\(subgroup_id\) (\w+): u32/, "@builtin(local_invocation_id) lane_of_workgroup: vec3u")
    .replace(
      /(@compute[\s\S]*?\)\s*\{)/,
      "$1 let subgroup = lane_of_workgroup.x / LANES; let is_first = lane_of_workgroup.x % LANES == 0u;",
    )
    .replace(/alias (Left|Right) = .*?;/g, "alias $1 = Place;")
    .replace(/alias Sums = .*?;/, `alias Sums = array<f32, ${rows} * ${columns}>;`)
    .replace(/subgroupMatrixLoad<\w+, \w+>\(&\w+, /g, "Place(")
    .replace(
      /(\S+) = subgroupMatrixMultiplyAccumulate\((.+?), (\S+), \1\);/g,
      "multiply_accumulate($2, $3, &$1, is_first);",
    )
    .replace(
      /subgroupMatrixStore<row_major>\(&scratch, (.+), (\S+), \w+\);/g,
      "store_matrix($1, &$2, is_first);",
    );
  const [, someParameter] = /struct Params \{ (\w+): u32/.exec(code)!;
  const missed = /subgroup_?matrix\w*/i.exec(rewritten);
  if (missed) throw new Error(`emulated: ${missed[0]} is written in a way that is not understood`);
  return `${rewritten}
struct Place { offset: u32, stride: u32 }
// Bounds that compilers cannot know: unrolled, a 16×16×16 product has 4096 lines, which take a minute to compile.
fn multiply_accumulate(left: Left, right: Right, sums: ptr<function, Sums>, is_first: bool) {
  if (!is_first) { return; }
  for (var m = 0u; m < ${rows} + params.never; m++) {
    for (var n = 0u; n < ${columns} + params.never; n++) {
      for (var k = 0u; k < ${depth} + params.never; k++) {
        (*sums)[m * ${columns} + n] += f32(${left("left", "m", "k")}) * f32(${right("right", "k", "n")});
      }
    }
  }
}
fn store_matrix(offset: u32, sums: ptr<function, Sums>, is_first: bool) {
  if (!is_first) { return; }
  for (var i = 0u; i < ${rows} * ${columns} + params.never; i++) { scratch[offset + i] = (*sums)[i]; }
}
`.replaceAll("params.never", `(params.${someParameter} >> 31u)`);
}

/** How an element of a left or right matrix is read from where it was loaded. Offsets and strides count vectors of four. */
function operand(code: string, type: "Left" | "Right") {
  const loads = [...code.matchAll(new RegExp(`subgroupMatrixLoad<${type}, (\\w+)>\\(&(\\w+), `, "g"))];
  const [[, order, variable] = []] = loads;
  if (loads.some((load) => load[1] !== order || load[2] !== variable))
    throw new Error(`emulated: ${type} is loaded in several ways`);
  return (name: string, row: string, column: string): string => {
    const [line, place] = order === "row_major" ? [row, column] : [column, row];
    return `${variable}[${name}.offset + ${line} * ${name}.stride + ${place} / 4u][${place} % 4u]`;
  };
}
