// Event files, read back by an independent reader of the format.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { encodeEvents, writeTensorBoard } from "../../src/storage/tensorboard.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-events-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** CRC-32C by its definition, bit by bit (Castagnoli's polynomial, reflected). */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const mask = (crc: number) => ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) >>> 0;

/** The records of a TFRecord file, after checking their checksums. */
function records(bytes: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(mask(crc32c(bytes.subarray(at, at + 8))));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(mask(crc32c(data)));
    found.push(data);
    at += 16 + length;
  }
  return found;
}

/** Fields of a protocol buffer by number: varints as numbers, fixed-size values and bytes as stored. */
function fields(bytes: Uint8Array): Map<number, number | Uint8Array> {
  const found = new Map<number, number | Uint8Array>();
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const type = key & 7;
    if (type === 0) found.set(key >> 3, varint());
    else {
      const length = type === 1 ? 8 : type === 5 ? 4 : varint();
      found.set(key >> 3, bytes.subarray(at, at + length));
      at += length;
    }
  }
  return found;
}

const double = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true);
const float = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true);

function scalarOf(record: Uint8Array) {
  const event = fields(record);
  const value = fields(fields(event.get(5) as Uint8Array).get(1) as Uint8Array);
  return {
    wallTime: double(event.get(1) as Uint8Array),
    step: event.get(2) as number,
    tag: new TextDecoder().decode(value.get(1) as Uint8Array),
    value: float(value.get(2) as Uint8Array),
  };
}

test("a file has its version and every scalar, with right checksums", async () => {
  const scalars = [
    { tag: "train/loss", step: 1, value: 2.5, wallTime: 1e9 + 0.25 },
    { tag: "test/accuracy", step: 300, value: 93.75, wallTime: 1e9 + 7 },
  ];
  const [version, ...rest] = records(Buffer.concat(await encodeEvents(scalars, 1e9)));
  expect(new TextDecoder().decode(fields(version!).get(3) as Uint8Array)).toBe("brain.Event:2");
  expect(rest.map(scalarOf)).toEqual(scalars);
});

test("a run's metrics become scalars, except NaN; writing again replaces the file", async () => {
  writeFileSync(join(folder, "config.yaml"), "seed: 0\n");
  writeFileSync(join(folder, "environment.json"), JSON.stringify({ started: "2026-01-01T00:00:00Z" }));
  const rows = [
    { kind: "train", step: 1, loss: 2, distanceAll: 0.5 },
    { kind: "train", step: 2, loss: "NaN" },
    { kind: "evaluation", step: 2, testAccuracy: 50 },
  ];
  writeFileSync(join(folder, "metrics.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  await writeTensorBoard(folder, new Date("2026-01-01T00:01:00Z"));
  const path = await writeTensorBoard(folder, new Date("2026-01-01T00:01:00Z"));
  expect(readdirSync(folder).filter((name) => name.startsWith("events.out.tfevents."))).toHaveLength(1);
  const found = records(readFileSync(path)).slice(1).map(scalarOf);
  expect(found.map(({ tag, step, value }) => [tag, step, value])).toEqual([
    ["train/loss", 1, 2],
    ["distance/all", 1, 0.5],
    ["test/accuracy", 2, 50],
  ]);
  expect(found.at(-1)!.wallTime - found[0]!.wallTime).toBeCloseTo(30, 3);
});
