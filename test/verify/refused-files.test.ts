// Invalid reference files are refused on one line that names file, case and tensor.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { type TensorToStore, writeSafetensors } from "../../src/storage/safetensors.ts";
import { DataError } from "../../src/support/errors.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";
import { RUN, verify, write } from "./reference-files.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

describe("an invalid file is refused on one line", () => {
  const x = { shape: [2, 3], data: new Float32Array(6) };
  const vector = { shape: [3], data: new Float32Array(3) };
  const labels = { shape: [2], data: new Int32Array([0, 3]) };
  const relu = { op: "relu", prefix: "", tensors: ["x", "output", "grad_output", "grad_x"] };
  const sameShapes = { x, output: x, grad_output: x, grad_x: x };
  const run = { model: "f1", ...RUN };
  const refusals: [what: string, cases: unknown, tensors: Record<string, TensorToStore>, message: RegExp][] =
    [
      ["cases that are not JSON", "[{", { x }, /"cases" of its __metadata__: damaged: expected JSON/],
      ["no case", [], { x }, /at least one case/],
      ["a case of an unknown kind", [{ shape: 3 }], { x }, /case 0: expected \{"op", .*\} or \{"model", …\}/],
      ["a case without tensors", [{ op: "relu", prefix: "" }], { x }, /case 0: .*tensors/],
      [
        "a tensor that is missing",
        [relu],
        { x, output: x, grad_output: x },
        /case 0 \(relu\): names the tensor "grad_x", but the file has no "grad_x"/,
      ],
      [
        "a tensor that the case does not list",
        [{ ...relu, tensors: ["x"] }],
        { x },
        /case 0 \(relu\): has no tensor "output"/,
      ],
      [
        "an output of another shape",
        [relu],
        { ...sameShapes, output: vector, grad_output: vector },
        /output is \[3\], but the operation's is \[2, 3\]/,
      ],
      [
        "a gradient of another shape",
        [relu],
        { ...sameShapes, grad_output: vector },
        /grad_output is \[3\], expected \[2, 3\]/,
      ],
      [
        "an attribute that is missing",
        [{ ...relu, op: "ghost_batch_norm" }],
        sameShapes,
        /case 0 \(ghost_batch_norm\): ghost_size: /,
      ],
      [
        "a ghost of one value",
        [{ ...relu, op: "ghost_batch_norm", ghost_size: 1, eps: 1e-5, momentum: 0.1 }],
        {
          ...sameShapes,
          weight: vector,
          bias: vector,
          running_mean_before: vector,
          running_var_before: vector,
        },
        /too few for a variance/,
      ],
      [
        "a label out of range",
        [{ ...relu, op: "cross_entropy", tensors: ["x", "labels"] }],
        { x, labels },
        /labels\[1\] is 3, expected 0 to 2/,
      ],
      ["a setting that is missing", [{ ...run, batch: undefined }], { x }, /case 0 \(f1\): batch: /],
      ["a run without images", [run], { x }, /case 0 \(f1\): has no tensor "x.0"/],
      [
        "an option that the model does not have",
        [{ ...run, options: { height: 3 } }],
        {
          "x.0": { shape: [2, 1, 2, 2], data: new Float32Array(8) },
          eval_logits: { shape: [2, 3], data: new Float32Array(6) },
        },
        /case 0 \(f1\): .*option height/,
      ],
      [
        "weights that are missing",
        [run],
        {
          "x.0": { shape: [2, 1, 2, 2], data: new Float32Array(8) },
          eval_logits: { shape: [2, 3], data: new Float32Array(6) },
        },
        /layers\.0\.weight/,
      ],
    ];

  test.each(refusals)("%s", async (_, cases, tensors, message) => {
    const path = await write("refused.safetensors", { tensors: new Map(Object.entries(tensors)), cases });
    const error: unknown = await verify(gpu, path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    const text = (error as DataError).message;
    expect(text).toMatch(message);
    expect(text.startsWith(path)).toBe(true);
    expect(text).not.toContain("\n");
  });

  test("weights without cases, foreign and missing files", async () => {
    const folder = temporaryFolder();
    const [weights, foreign] = [join(folder, "weights.safetensors"), join(folder, "foreign.safetensors")];
    await writeSafetensors(weights, [["x", x]]);
    await writeFile(foreign, "this is not a safetensors file");
    await expect(verify(gpu, weights)).rejects.toThrow(
      /weights.safetensors: not a reference file: its __metadata__ has no "cases"/,
    );
    await expect(verify(gpu, foreign)).rejects.toThrow(
      /foreign.safetensors: byte 0: expected the length of a safetensors header/,
    );
    await expect(verify(gpu, join(folder, "nowhere.safetensors"))).rejects.toThrow(
      /nowhere.safetensors: cannot read: no such file/,
    );
  });
});
