import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  decodeSafetensors,
  encodeSafetensors,
  openSafetensors,
  readSafetensors,
  type StoredTensor,
  type TensorToStore,
  writeSafetensors,
} from "../../src/storage/safetensors.ts";
import { DTYPE_BYTES } from "../../src/storage/safetensors-header.ts";
import { DataError } from "../../src/support/errors.ts";
import { mutations } from "../support/mutations.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));

const TENSORS: [string, TensorToStore][] = [
  ["flags", { shape: [3], data: Uint8Array.of(1, 0, 255) }],
  [
    "layers.0.weight",
    { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, Number.NaN, Number.NEGATIVE_INFINITY, -0) },
  ],
  ["step", { shape: [], data: BigInt64Array.of(-(2n ** 60n)) }],
  ["empty", { shape: [0, 4], data: new Int32Array(0) }],
  ["labels", { shape: [2], data: Int32Array.of(-1, 2 ** 31 - 1) }],
  ["order", { shape: [1], data: Uint32Array.of(2 ** 32 - 1) }],
  ["exact", { shape: [1, 1], data: Float64Array.of(Math.PI) }],
];

/** A file from a header as text and its data. */
function file(header: string, data: Uint8Array | number = 0): Uint8Array {
  const text = new TextEncoder().encode(header);
  const values = typeof data === "number" ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + text.length + values.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(values, 8 + text.length);
  return bytes;
}

function whole(pieces: Uint8Array[]): Uint8Array {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

function valuesOf(tensors: ReadonlyMap<string, StoredTensor>, name: string): (number | bigint)[] {
  return [...(tensors.get(name)?.data ?? [])];
}

test("tensors of every type come back bit for bit, with their metadata", async () => {
  const path = join(folder, "all.safetensors");
  await writeSafetensors(path, TENSORS, { format: "pt", note: 'a "quoted" line\n' });
  const { tensors, metadata } = await readSafetensors(path);
  expect(Object.fromEntries(metadata)).toEqual({ format: "pt", note: 'a "quoted" line\n' });
  expect(tensors.size).toBe(TENSORS.length);
  for (const [name, { shape, data }] of TENSORS) {
    expect(tensors.get(name)?.shape).toEqual(shape);
    expect(tensors.get(name)?.data).toEqual(data);
  }
  expect(readdirSync(folder)).toEqual(["all.safetensors"]);
});

test("the layout follows the format: length, JSON padded to 8 bytes, data in order of alignment", () => {
  const bytes = whole(encodeSafetensors(TENSORS));
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  expect(header["layers.0.weight"]).toEqual({ dtype: "F32", shape: [2, 3], data_offsets: [16, 40] });
  for (const { dtype, data_offsets: range } of Object.values(header) as {
    dtype: keyof typeof DTYPE_BYTES;
    data_offsets: number[];
  }[]) {
    expect(range[0] % DTYPE_BYTES[dtype]).toBe(0);
  }
  expect(new DataView(bytes.buffer).getFloat32(8 + length + 16 + 8, true)).toBe(3.5);
});

test("f16 and bf16 are read as the numbers they represent", () => {
  const half = Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x7c00, 0x7e00, 0x3555);
  const brain = Uint16Array.of(0x3f80, 0xc049, 0x7f80);
  const header = {
    h: { dtype: "F16", shape: [8], data_offsets: [0, 16] },
    b: { dtype: "BF16", shape: [3], data_offsets: [16, 22] },
  };
  const bytes = file(
    JSON.stringify(header),
    Uint8Array.from([...new Uint8Array(half.buffer), ...new Uint8Array(brain.buffer)]),
  );
  const { tensors } = decodeSafetensors(bytes, "halves");
  expect(valuesOf(tensors, "h")).toEqual([
    1,
    -2,
    65504,
    2 ** -24,
    -0,
    Number.POSITIVE_INFINITY,
    Number.NaN,
    1365 / 4096,
  ]);
  expect(valuesOf(tensors, "b")).toEqual([1, -3.140625, Number.POSITIVE_INFINITY]);
});

test("one tensor is read without the others; a pooled Buffer is decoded correctly", async () => {
  const path = join(folder, "lazy.safetensors");
  await writeSafetensors(path, TENSORS);
  const opened = await openSafetensors(path);
  expect((await opened.read("labels")).data).toEqual(Int32Array.of(-1, 2 ** 31 - 1));
  await expect(opened.read("absent")).rejects.toThrow(/no tensor "absent"/);
  truncateSync(path, statSync(path).size - 1);
  await expect(opened.read("flags")).rejects.toThrow(/the file ends here, expected 1 more bytes/);
  await opened.close();

  const pooled = Buffer.from(whole(encodeSafetensors(TENSORS)));
  expect(decodeSafetensors(pooled, "pooled").tensors.get("labels")?.data).toEqual(
    Int32Array.of(-1, 2 ** 31 - 1),
  );
});

describe("a damaged or foreign file is refused with what is wrong", () => {
  const entry = (dtype: string, shape: string, offsets: string) =>
    `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
  const f32 = (shape: string, offsets: string) => entry('"F32"', shape, offsets);
  const lengthOf = (value: bigint) => {
    const bytes = new Uint8Array(64);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    return bytes;
  };
  test.each<[string, Uint8Array, RegExp]>([
    ["empty", new Uint8Array(), /at least 8 bytes, found 0/],
    ["a length of 0", lengthOf(0n), /found 0 /],
    ["a length past the end", lengthOf(57n), /2 to 56 in a file of 64 bytes, found 57/],
    ["a length of 2^53 + 1", lengthOf(2n ** 53n + 1n), /found 9007199254740993/],
    ["a length of 2^64 − 1", lengthOf(2n ** 64n - 1n), /found 18446744073709551615/],
    ["no UTF-8", file("{}").fill(0xff, 8), /not UTF-8/],
    ["no JSON", file('{"a":'), /not JSON/],
    ["a list", file("[1]"), /expected a JSON object, found a list/],
    ["deep", file("[".repeat(100_000)), /nested deeper than 3/],
    ["deep in objects", file('{"a":{"shape":[[1]]}}'), /nested deeper/],
    ["twice", file(`{"a":${f32("[1]", "[0,4]")},"a":${f32("[1]", "[0,4]")}}`, 4), /"a" occurs twice/],
    [
      "twice in disguise",
      file(`{"a":${f32("[1]", "[0,4]")},"\\u0061":${f32("[1]", "[4,8]")}}`, 8),
      /"a" occurs twice/,
    ],
    [
      "a key twice",
      file('{"a":{"dtype":"U8","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
      /"dtype" occurs twice/,
    ],
    [
      "an unknown type",
      file(`{"a":${entry('"F8"', "[1]", "[0,1]")}}`, 1),
      /tensor "a": expected a dtype of .*, found "F8"/,
    ],
    [
      "a type of Object.prototype",
      file(`{"a":${entry('"toString"', "[1]", "[0,1]")}}`, 1),
      /found "toString"/,
    ],
    ["a number as type", file(`{"a":${entry("5", "[1]", "[0,1]")}}`, 1), /found a value of type number/],
    ["a negative size", file(`{"a":${f32("[-1]", "[0,4]")}}`, 4), /shape of whole numbers/],
    ["a fractional size", file(`{"a":${f32("[1.5]", "[0,6]")}}`, 6), /shape of whole numbers/],
    ["sizes beyond 2^53", file(`{"a":${f32("[1e300]", "[0,4]")}}`, 4), /shape of whole numbers/],
    [
      "a product beyond 2^53",
      file(`{"a":${f32("[4503599627370496,4503599627370496]", "[0,4]")}}`, 4),
      /takes 8\d*e\+\d+ bytes|takes \d+/,
    ],
    ["reversed offsets", file(`{"a":${f32("[1]", "[4,0]")}}`, 4), /begin <= end/],
    ["three offsets", file(`{"a":${f32("[1]", "[0,4,8]")}}`, 8), /begin <= end/],
    ["offsets past the end", file(`{"a":${f32("[2]", "[0,8]")}}`, 7), /end at 8, but the file has 7/],
    [
      "a size that does not fit",
      file(`{"a":${f32("[2]", "[0,4]")}}`, 4),
      /F32 \[2\] takes 8 bytes, but its data_offsets span 4/,
    ],
    ["overlap", file(`{"a":${f32("[2]", "[0,8]")},"b":${f32("[1]", "[4,8]")}}`, 8), /tensor "b" .* overlaps/],
    ["a gap", file(`{"a":${f32("[1]", "[0,4]")},"b":${f32("[1]", "[8,12]")}}`, 12), /hole of 4 bytes/],
    ["bytes of no tensor", file(`{"a":${f32("[1]", "[0,4]")}}`, 5), /1 bytes after the last tensor/],
    [
      "an unknown key",
      file(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1],"__proto__":1}}`, 1),
      /unknown key "__proto__"/,
    ],
    ["metadata of numbers", file('{"__metadata__":{"a":1}}'), /__metadata__: expected text for "a"/],
    ["metadata of text", file('{"__metadata__":"a"}'), /__metadata__: expected a JSON object/],
    ["no offsets", file('{"a":{"dtype":"U8","shape":[1]}}', 1), /data_offsets/],
  ])("%s", (_, bytes, message) => {
    expect(() => decodeSafetensors(bytes, "some/file")).toThrow(DataError);
    expect(() => decodeSafetensors(bytes, "some/file")).toThrow(message);
    expect(() => decodeSafetensors(bytes, "some/file")).toThrow(/^some\/file: .*$/);
  });

  test("also on disk, if a header announces more than there is", async () => {
    const path = join(folder, "foreign");
    writeFileSync(path, lengthOf(2n ** 40n));
    await expect(readSafetensors(path)).rejects.toThrow(/found 1099511627776/);
    truncateSync(path, 2 ** 42);
    await expect(readSafetensors(path)).rejects.toThrow(/2 to 100000000 in a file of 4398046511104/);
    await expect(readSafetensors(join(folder, "missing"))).rejects.toThrow(
      /missing: cannot read: no such file/,
    );
    await expect(readSafetensors(folder)).rejects.toThrow(DataError);
  });
});

test("duplicate and reserved names, and shapes that do not fit, are not written", async () => {
  const data = new Float32Array(2);
  expect(() => encodeSafetensors([["__metadata__", { shape: [2], data }]])).toThrow(/__metadata__" is taken/);
  expect(() => encodeSafetensors([...TENSORS, ["step", { shape: [2], data }]])).toThrow(/"step" is taken/);
  expect(() => encodeSafetensors([["a", { shape: [3], data }]])).toThrow(
    /shape \[3\] does not match its 2 values/,
  );
  const path = join(folder, "refused.safetensors");
  await expect(writeSafetensors(path, [["a", { shape: [3], data }]])).rejects.toThrow(DataError);
  expect(readdirSync(folder)).not.toContain("refused.safetensors");
  const odd: [string, TensorToStore][] = ["__proto__", "0", "a/b\n"].map((name, i) => [
    name,
    { shape: [], data: Int32Array.of(i) },
  ]);
  expect([...decodeSafetensors(whole(encodeSafetensors(odd)), "odd").tensors.keys()].sort()).toEqual([
    "0",
    "__proto__",
    "a/b\n",
  ]);
});

test("4,000 damaged files give a DataError or exactly the tensors in the file", () => {
  const original = whole(encodeSafetensors(TENSORS, { format: "pt" }));
  let read = 0;
  for (const bytes of mutations(original, { count: 4000, seed: 1 })) {
    try {
      const { tensors } = decodeSafetensors(bytes, "damaged");
      let total = 0;
      for (const { dtype, shape, data } of tensors.values()) {
        expect(data).toHaveLength(shape.reduce((a, b) => a * b, 1));
        total += data.length * DTYPE_BYTES[dtype];
      }
      expect(total).toBeLessThanOrEqual(bytes.length);
      read++;
    } catch (error) {
      expect(error).toBeInstanceOf(DataError);
    }
  }
  expect(read).toBeGreaterThan(20);
  expect(read).toBeLessThan(3000);
});

test("so do 4,000 well-formed headers with wrong numbers, names and types", () => {
  const values = [
    "0",
    "4",
    "8",
    "-1",
    "1e9",
    "9007199254740993",
    "1.5",
    '"F32"',
    '"U8"',
    "null",
    "[]",
    "[0,4]",
    "[4,8]",
    "{}",
    "true",
  ];
  const text = JSON.stringify({
    a: { dtype: "F32", shape: [1], data_offsets: [0, 4] },
    b: { dtype: "U8", shape: [4], data_offsets: [4, 8] },
  });
  const tokens = text.match(/"[^"]*"|\d+|[[\]{}:,]/g) ?? [];
  let [read, refused] = [0, 0];
  for (const picks of mutations(new Uint8Array(4), { count: 4000, seed: 2 })) {
    const changed = [...tokens];
    for (let i = 0; i + 1 < picks.length; i += 2)
      changed[picks[i] % changed.length] = values[picks[i + 1] % values.length];
    try {
      const { tensors } = decodeSafetensors(file(changed.join(""), 8), "damaged");
      for (const { shape, data } of tensors.values())
        expect(data).toHaveLength(shape.reduce((a, b) => a * b, 1));
      read++;
    } catch (error) {
      expect(error).toBeInstanceOf(DataError);
      refused++;
    }
  }
  expect(Math.min(read, refused)).toBeGreaterThan(20);
});

test("files in the reference implementation's form are read: any order, padding, no metadata", () => {
  const header = `{"b":{"data_offsets":[4,6],"shape":[2],"dtype":"U8"}, "a":{"dtype":"I32","shape":[],"data_offsets":[0,4]}}    `;
  const { tensors } = decodeSafetensors(file(header, Uint8Array.of(7, 0, 0, 0, 8, 9)), "other");
  expect(tensors.get("a")?.data).toEqual(Int32Array.of(7));
  expect(tensors.get("b")?.data).toEqual(Uint8Array.of(8, 9));
});
