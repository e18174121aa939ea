// How the engine reads WGSL: any valid spelling of the same declarations is the same kernel.

import { expect, test } from "vitest";
import { featuresOf, parseShader, type ShaderFile, specialize } from "../../src/gpu/shader.ts";
import { numberOf } from "../../src/gpu/wgsl-expression.ts";
import { WgslSource } from "../../src/gpu/wgsl-source.ts";
import { tokenize } from "../../src/gpu/wgsl-tokens.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";
import { ShaderError, ShaderInterfaceError } from "../../src/support/errors.ts";
import { mutations } from "../support/mutations.ts";

const parse = (code: string): ShaderFile =>
  parseShader("own.wgsl", (path) => (path === "own.wgsl" ? code : shaderFiles(path)));

const PLAIN = `enable f16;
override C: u32;
override WIDTH: u32 = 64u;
const TILE: u32 = 4u;  // @spec
struct Params { count: u32, eps: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
var<workgroup> parts: array<f32, 64>;
@compute @workgroup_size(64) fn main() { y[0] = 1.0; }
`;

/** The same, in unusual but valid spellings. */
const UNUSUAL = `/* enable subgroups; /* nested */ override D: u32; */ enable
f16,;;
@compute
  @workgroup_size(WIDTH, 1u,) // a comment
fn main(@builtin(global_invocation_id) at: vec3<u32>,) { let s = "var"; y[0] = f32(1 < 2); }
@id(7)override/* , */C:u32;@id(0x8u)
override
  WIDTH = 64u ;
const TILE:u32=4u;// @spec
var <workgroup>parts:array<f32,select(64u,32u,(TILE>8u))>;
alias real = f32;
alias Same=Fields;
struct Fields{count:u32,// override E: u32;
  eps:real,};
const FIRST = 0x0;
@binding(FIRST+2)@group(0)var<uniform,>params:Same;
@binding(1u) @group( 0 ) var < storage , read_write , > y : array < f32 > ;
@group(FIRST)
// between
@binding((3 - 2) - 1i)
var<storage> x: array<vec4<f32>,>;
const_assert TILE < 5u; ;
diagnostic(off, derivative_uniformity);
`;

test("a kernel in plain and in unusual spelling has the same declarations", () => {
  const facts = ({
    bindings,
    overrides,
    params,
    spec,
    features,
    entryPoints,
    usesWorkgroupMemory,
  }: ShaderFile) => ({
    bindings,
    params,
    spec,
    features,
    entryPoints,
    usesWorkgroupMemory,
    overrides: overrides.map(({ name, hasDefault }) => ({ name, hasDefault })),
  });
  expect(facts(parse(UNUSUAL))).toEqual(facts(parse(PLAIN)));
  expect(facts(parse(PLAIN))).toEqual({
    bindings: [
      { name: "x", kind: "read", number: 0, optional: false },
      { name: "y", kind: "read_write", number: 1, optional: false },
      { name: "params", kind: "uniform", number: 2, optional: false },
    ],
    params: [
      { name: "count", type: "u32" },
      { name: "eps", type: "f32" },
    ],
    overrides: [
      { name: "C", hasDefault: false },
      { name: "WIDTH", hasDefault: true },
    ],
    spec: ["TILE"],
    features: ["shader-f16"],
    entryPoints: ["main"],
    usesWorkgroupMemory: true,
  });
  expect(parse(UNUSUAL).overrides.map(({ key }) => key)).toEqual(["7", "8"]);
});

test.each(["\n", "\r\n", "\r", "\v", "\f", "\u0085", "\u2028", "\u2029"])("line break %j", (lineBreak) => {
  const code = PLAIN.replaceAll("\n", lineBreak);
  expect(parse(code).bindings).toEqual(parse(PLAIN).bindings);
  expect(parse(code).spec).toEqual(["TILE"]);
  const texture = code.replace("array<f32>;", "f32; @group(0) @binding(5) var t: texture_2d<f32>;");
  expect(() => parse(texture)).toThrow("own.wgsl:7:82: t is a texture_2d<f32>: ghostbatch binds");
});

test("identifiers may use any script, and names of JavaScript's object properties", () => {
  const names = ["größe", "Δx", "数", "_x", "constructor", "__proto1", "toString", "hasOwnProperty"];
  expect(
    parse(names.map((name) => `override ${name}: f32;`).join("")).overrides.map(({ name }) => name),
  ).toEqual(names);
});

test("numbers with suffixes, in hex and with exponents", () => {
  const numbers = ["0", "64u", "0x1Fi", "1.5", ".5f", "1.", "2e-3h", "0x1.8p3", "0X.8P-1f", "0xffu", "1E+2"];
  const { tokens } = tokenize(new WgslSource([{ path: "", text: numbers.join(" ") }]));
  expect(tokens.map(({ text }) => text)).toEqual(numbers);
  expect(numbers.map(numberOf)).toEqual([0, 64, 31, 1.5, 0.5, 1, 2e-3, 12, 0.25, 255, 100]);
});

test("template lists are distinguished from comparisons and shifts", () => {
  const pairs = (text: string) => {
    const { tokens, closing } = tokenize(new WgslSource([{ path: "", text }]));
    return [...closing]
      .filter(([open]) => tokens[open]!.text === "<")
      .map(([open, close]) => text.slice(tokens[open]!.start, tokens[close]!.end));
  };
  // The examples in WGSL's section on template lists, and other ambiguous cases.
  expect(pairs("a < b; c > d")).toEqual([]);
  expect(pairs("a(b < c, d > (e))")).toEqual(["< c, d >"]);
  expect(pairs("array<i32,select(2,3,a>b)>")).toEqual(["<i32,select(2,3,a>b)>"]);
  expect(pairs("x << y > z")).toEqual([]);
  expect(pairs("if a < b && c > d {}")).toEqual([]);
  expect(pairs("array<vec4<f32>>=0")).toEqual(["<f32>", "<vec4<f32>>"]);
  expect(pairs("a[b<d]>c")).toEqual([]);
});

test("bindings that ghostbatch does not support are refused with line and column", () => {
  const refused = (code: string) => expect(() => parse(code));
  refused("@group(0) @binding(0) var t: texture_2d<f32>;").toThrow(ShaderInterfaceError);
  refused("@group(0) @binding(0) var s: sampler;").toThrow(
    /^own\.wgsl:1:27: s is a sampler: ghostbatch binds only storage/,
  );
  refused("\n @group(1)\n @binding(0) var<storage> w: array<f32>;").toThrow(
    "own.wgsl:3:27: w is in group 1: ghostbatch binds only group 0",
  );
  const twice = "@group(0) @binding(3) var<storage> a: array<f32>;";
  refused(twice + twice.replace(" a:", " b:")).toThrow("own.wgsl:1:85: b and a both have binding 3");
  const params = "@group(0) @binding(0) var<uniform> params: ";
  refused(`${params}vec4f;`).toThrow(
    "own.wgsl:1:36: params is a vec4f, expected a struct of u32, i32 and f32",
  );
  refused(`struct P { a: vec2f }\n${params}P;`).toThrow(
    "own.wgsl:1:12: field a of params is a vec2f, expected u32",
  );
  refused(`struct P { @align(16) a: u32 }\n${params}P;`).toThrow(
    "own.wgsl:1:23: field a of params has @align",
  );
  refused("@group(0) @binding(N) var<storage> a: u32;").toThrow(
    "own.wgsl:1:20: @binding: there is no N; write",
  );
  refused("const N = N;@group(N) @binding(0) var<storage> a: u32;").toThrow(
    "own.wgsl:1:11: @group: there is no N",
  );
  refused("fn f() {}\n /* /* */").toThrow("own.wgsl:2:2: unterminated block comment");
  refused("// \0").toThrow("own.wgsl:1:4: a null character");
  refused("\n// @import lib/none.wgsl").toThrow("own.wgsl:2:1: @import: lib/none.wgsl: no such shader");
  refused(`@id(${"(".repeat(5000)}0${")".repeat(5000)}) override A: u32;`).toThrow(/nested deeper than 100/);
});

test("imports are read only from line comments, each once; spec values are replaced in place", () => {
  const shader = parse(
    "/*\n// @import lib/none.wgsl\n*/\n  //@import lib/relu.wgsl\n// `// @import lib/x.wgsl` brings in a file\n// @import lib/relu.wgsl\n" +
      "const A\n = 4u\n ;/**/const B = vec2(\n1u,\n2u);  // @spec\nalias T = f32; // @special\nalias U = f32; // @spec with PACKED",
  );
  expect(shader.imports).toEqual(["lib/relu.wgsl"]);
  expect(shader.spec).toEqual(["B", "U"]);
  const code = specialize(shader, { B: 7, U: "vec4f" });
  expect(code).toContain("const B = 7\n\n;  // @spec\nalias T = f32; // @special\nalias U = vec4f; // @spec");
  expect(() => specialize(shader, { A: 1 })).toThrow('own.wgsl: has no "// @spec" line for A (it has B, U)');
});

test("a spec value with an f16 type adds `enable f16;` to the first line, and needs the feature", () => {
  const shader = parse("// its name\nalias Stored = f32; // @spec\nconst f16s = 1u; // @spec");
  const enabled = specialize(shader, { Stored: "f16" });
  expect(enabled).toBe("enable f16; // its name\nalias Stored = f16; // @spec\nconst f16s = 1u; // @spec");
  for (const type of ["vec4h", "vec4<f16>"])
    expect(featuresOf(shader, { Stored: type })).toEqual(["shader-f16"]);
  for (const [name, value] of [
    ["Stored", "vec4f"],
    ["f16s", 16],
  ] as const) {
    const values = { [name]: value };
    expect(specialize(shader, values)).not.toContain("enable");
    expect(featuresOf(shader, values)).toEqual([]);
  }
  expect(featuresOf(parse(PLAIN), { TILE: "f16" })).toEqual(["shader-f16"]);
});

test("a binding is optional if the comment on its line begins with @optional", () => {
  const code =
    "@group(0) @binding(0) var<storage> a: array<f32>; // @optional, written with A\n" +
    "@group(0) @binding(1) var<storage> b: array<f32>;\n// @optional\n" +
    "@group(0) @binding(2) var<storage> c: array<f32>; // not @optional";
  expect(parse(code).bindings.map(({ optional }) => optional)).toEqual([true, false, false]);
});

test("damaged shaders throw only the project's own errors", () => {
  const decoder = new TextDecoder();
  const encoder = new TextEncoder();
  let refused = 0;
  for (const [seed, code] of [PLAIN, UNUSUAL, shaderFiles("matmul/tiled.wgsl")].entries()) {
    for (const bytes of mutations(encoder.encode(code), { count: 1400, seed })) {
      try {
        const shader = parse(decoder.decode(bytes));
        specialize(shader, Object.fromEntries(shader.spec.map((name) => [name, 1])));
      } catch (error) {
        if (!(error instanceof ShaderError)) throw error;
        refused++;
      }
    }
  }
  expect(refused).toBeGreaterThan(0);
});
