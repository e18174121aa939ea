// Races in a user's kernel are found, or a note says where and why they were not looked for.

import { describe, expect, test } from "vitest";
import { lookForRaces } from "../../src/bench/races.ts";
import { parseShader } from "../../src/gpu/shader.ts";
import { biasKernel, check, kernelFile, RIGHT } from "../support/user-kernels.ts";

describe("races", () => {
  const SHARED = "var <workgroup> parts: array<f32, 64>;";
  const sum = (barrier: string) => `parts[lane] = 1.0;
  ${barrier}
  for (var h = 32u; h > 0u; h >>= 1u) {
    if (lane < h) { parts[lane] += parts[lane + h]; }
    ${barrier}
  }
  if (i < SIZE) { y[i] = x[i] * (parts[0] / 64.0) + bias[i / HW % C]; }`;
  const look = (body: string, head = SHARED) => check(kernelFile(biasKernel(body, head)), "channel-bias/add");

  test("storageBarrier does not order workgroup memory; workgroupBarrier does", async () => {
    const [race] = (await look(sum("storageBarrier();"))).problems.filter(({ kind }) => kind === "race");
    expect(race!.message).toMatch(
      /^parts: lane \d+ \w+ it at .*\.wgsl:\d+, lane .* with no workgroupBarrier between$/,
    );
    expect(await look(sum("workgroupBarrier();"))).toMatchObject({ problems: [], notes: [] });
  });

  test("lanes that write the same element of an output", async () => {
    const report = await look(
      "if (i < SIZE) { y[i] = x[i] + bias[i / HW % C];\n y[i / 64u * 64u] = x[i / 64u * 64u] + bias[i / 64u * 64u / HW % C]; }",
      "",
    );
    expect(report.problems.map(({ kind }) => kind)).toContain("race");
  });

  test("a note names the variables that the emulator does not track", async () => {
    const body = `one = 1.0;\n ${RIGHT.replace("x[i]", "one * x[i]")}`;
    const { notes } = await look(body, "var<workgroup> one: f32;");
    expect(notes).toEqual([expect.stringMatching(/^races: not looked for in one, because the emulator/)]);
  });

  test("a note names a built-in function that the emulator does not know", async () => {
    const body =
      "let n = workgroupUniformLoad(&parts[0]); if (i < SIZE) { y[i] = x[i] + n + bias[i / HW % C]; }";
    const report = await look(body);
    expect(report.problems).toEqual([]);
    expect(report.notes).toEqual([
      "races: not looked for, because the emulator does not know workgroupUniformLoad",
    ]);
  });

  test("lanes that write different values to the same element on the same line", async () => {
    const body = `for (var k = 0u; k < 2u; k++) {
    let j = select(i ^ 1u, i, k == 1u);
    if (j < SIZE) { y[j] = f32(k) * (x[j] + bias[j / HW % C]); }
  }`;
    const report = await look(body, "");
    expect(report.problems.map(({ kind }) => kind)).toEqual(["race"]);
    expect(report.problems[0]!.message).toMatch(
      /^y: lane \d+ writes it at .*, with no storageBarrier between$/,
    );
  });

  test("lanes at an edge that write the same value to the same element are harmless", async () => {
    const report = await look("let j = min(i, SIZE - 1u); y[j] = x[j] + bias[j / HW % C];", "");
    expect(report.problems.map(({ kind }) => kind)).not.toContain("race");
  });

  test("type aliases are followed; a note says that pointers are not", async () => {
    const shared = "alias Value = f32; alias Parts = array<Value, 64>; var<workgroup> parts: Parts;";
    const use = (write: string, place: string) =>
      `${write}; let one = parts[${place}]; ${RIGHT.replace("x[i]", "one * x[i]")}`;
    const racing = await look(use("parts[lane] = 1.0", "63u - lane"), shared);
    expect(racing.problems.map(({ kind }) => kind)).toContain("race");
    const pointed = await look(use("let p = &parts; (*p)[lane] = 1.0", "lane"), shared);
    expect(pointed).toMatchObject({ problems: [] });
    expect(pointed.notes).toEqual([
      "races: not looked for in parts, because the emulator does not follow pointers",
    ]);
  });

  test.each([
    ["private variables such as own", "var<private> own: u32;", "own = lane;", "own"],
    [
      "functions that call functions, as outer calls inner",
      "fn inner(a: u32) -> u32 { return a ^ 1u; } fn outer(a: u32) -> u32 { return inner(a) ^ 1u; }",
      "",
      "outer(lane)",
    ],
  ])("no false race where the emulator is wrong: %s", async (what, head, before, place) => {
    const body = `${before} parts[${place}] = 1.0;\n ${RIGHT.replace("x[i]", `parts[${place}] * x[i]`)}`;
    const report = await look(body, `${SHARED} ${head}`);
    expect(report.problems).toEqual([]);
    expect(report.notes).toEqual([`races: not looked for, because the emulator does not know ${what}`]);
  });

  test("an emulation that takes too long ends with a note", async () => {
    const code = biasKernel(RIGHT).replace(
      "let i =",
      "var n = 0u; loop { n = n * 3u; if (n == 1u) { break; } }\n  let i =",
    );
    const shader = parseShader("own.wgsl", () => code);
    const words = new Uint32Array(64);
    const contents = new Map(["x", "bias", "y"].map((name) => [name, words]));
    const overrides = { C: 1, HW: 64, SIZE: 64 };
    const launch = { buffers: {}, workgroups: [1] as const, cost: { flops: 64, bytes: 768 }, overrides };
    expect(await lookForRaces(shader, "main", [{ launch, contents }], 50)).toEqual({
      findings: [],
      notes: ["races: not looked for, because emulating the smallest case takes too long"],
    });
  });
});
