import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { MetricsLog } from "../../src/storage/metrics-log.ts";
import { DataError } from "../../src/support/errors.ts";

const disk = vi.hoisted(() => ({ freeBytes: Number.POSITIVE_INFINITY }));

// A disk that becomes full in the middle of a line: the write takes what fits, the next one fails.
vi.mock("node:fs", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs")>();
  const writeSync = (file: number, bytes: Uint8Array, offset: number): number => {
    const taken = Math.min(bytes.length - offset, disk.freeBytes);
    if (taken === 0)
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    disk.freeBytes -= taken;
    return real.writeSync(file, bytes, offset, taken);
  };
  return { ...real, writeSync };
});

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-metrics-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("a row that does not fit on the disk is taken back from both files, and the next one follows whole", () => {
  const log = new MetricsLog(folder, ["step", "loss"]);
  const content = () => [
    readFileSync(join(folder, "metrics.jsonl"), "utf8"),
    readFileSync(join(folder, "metrics.csv"), "utf8"),
  ];
  log.append({ step: 1, loss: 0.5 });
  const before = content();
  // In the middle of the JSON line; after it, so that the CSV line does not fit; in the middle of that.
  for (const freeBytes of [10, 22, 24]) {
    disk.freeBytes = freeBytes;
    expect(() => log.append({ step: 2, loss: 0.25 })).toThrow(DataError);
    expect(() => log.append({ step: 2, loss: 0.25 })).toThrow(
      /metrics\.(jsonl|csv): cannot write: the disk is full/,
    );
    expect(content()).toEqual(before);
  }
  disk.freeBytes = Number.POSITIVE_INFINITY;
  log.append({ step: 2, loss: 0.25 });
  log.sync();
  log.close();
  expect(content()).toEqual([
    '{"step":1,"loss":0.5}\n{"step":2,"loss":0.25}\n',
    "step,loss\n1,0.5\n2,0.25\n",
  ]);
});

test("files that exist are not overwritten", () => {
  expect(() => new MetricsLog(folder, ["step"])).toThrow(/metrics\.jsonl: cannot create: it exists already/);
});
