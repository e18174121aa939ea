import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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

test("a row that does not fit on the disk is removed from both files, and the next one is complete", async () => {
  const log = MetricsLog.create(folder, ["step", "loss"]);
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
  // The folder has been renamed since.
  log.moved("runs/new");
  disk.freeBytes = 0;
  expect(() => log.append({ step: 2, loss: 0.25 })).toThrow(/^runs\Wnew\Wmetrics\.jsonl: cannot write/);
  log.moved(folder);
  disk.freeBytes = Number.POSITIVE_INFINITY;
  log.append({ step: 2, loss: 0.25 });
  await log.sync();
  log.close();
  expect(content()).toEqual([
    '{"step":1,"loss":0.5}\n{"step":2,"loss":0.25}\n',
    "step,loss\n1,0.5\n2,0.25\n",
  ]);
});

test("files that exist are not overwritten", () => {
  expect(() => MetricsLog.create(folder, ["step"])).toThrow(
    /metrics\.jsonl: cannot create: it already exists/,
  );
});

test("files are opened again and truncated to the end of a line, and to no other place", async () => {
  const again = mkdtempSync(join(folder, "again-"));
  expect(() => MetricsLog.open(again, ["step"])).toThrow(/metrics\.jsonl: cannot open: no such file/);
  const first = MetricsLog.create(again, ["step"]);
  first.append({ step: 1 });
  const { position } = first;
  first.append({ step: 2 });
  first.close();
  writeFileSync(join(again, "metrics.jsonl"), '{"ste', { flag: "a" }); // as a machine that loses power leaves it

  expect(() => MetricsLog.open(again, ["loss"])).toThrow(/metrics\.csv: expected the columns loss/);
  const log = MetricsLog.open(again, ["step"]);
  await expect(log.rewind({ ...position, lines: position.lines + 3 })).rejects.toThrow(
    /jsonl: expected a line that ends at byte 14/,
  );
  await expect(log.rewind({ ...position, table: 1000 })).rejects.toThrow(DataError);
  await log.rewind(position);
  expect(log.position).toEqual(position);
  log.append({ step: 3 });
  const content = () =>
    ["metrics.jsonl", "metrics.csv"].map((name) => readFileSync(join(again, name), "utf8"));
  expect(content()).toEqual(['{"step":1}\n{"step":3}\n', "step\n1\n3\n"]);
  await log.rewind(null);
  expect(content()).toEqual(["", "step\n"]);
  log.close();
});
