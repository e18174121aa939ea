/**
 * TensorBoard event files, which TensorBoard, W&B, MLflow and Aim can import. A file is a sequence of records
 *
 *   u64 length, u32 masked crc32c of the length, the bytes of an Event, u32 masked crc32c of those
 *
 * in little-endian order (TFRecord); an Event is a protocol buffer with wall_time = 1, step = 2, file_version = 3,
 * summary = 5, of which each value has tag = 1 and simple_value = 2.
 */
import { readdir, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { writeFileAtomically } from "./atomic-file.ts";
import { fileError } from "./file-error.ts";
import { type MetricNumbers, readRun } from "./read-run.ts";

export interface Scalar {
  readonly tag: string;
  readonly step: number;
  readonly value: number;
  /** Seconds since 1970. */
  readonly wallTime: number;
}

/** The tag of each metric, and its column. */
const TRAINING = {
  loss: "train/loss",
  accuracy: "train/accuracy",
  gradientNorm: "train/gradient_norm",
  learningRate: "train/learning_rate",
  distanceFirst: "distance/first",
  distanceAll: "distance/all",
  imagesPerSecond: "speed/images_per_second",
} as const;
const EVALUATION = { testLoss: "test/loss", testAccuracy: "test/accuracy" } as const;

/** The most steps to write for a long run; TensorBoard itself draws a thousand. */
const SHOWN_STEPS = 10_000;

/**
 * Writes events.out.tfevents.… in a run's folder from its metrics, replacing an older one. Metrics have no times, so steps
 * are assumed to be equally long between the start of the run and now.
 * @throws DataError if the run's files are damaged or writing fails
 */
export async function writeTensorBoard(folder: string, now = new Date()): Promise<string> {
  const { training, evaluations, environment } = await readRun(folder);
  const end = now.getTime() / 1000;
  const started = Date.parse(environment.started ?? "") / 1000;
  const start = Number.isFinite(started) ? started : end;
  const lastStep = Math.max(1, ...[training.at(-1), evaluations.at(-1)].map((row) => row?.["step"] ?? 0));
  const every = Math.ceil(training.length / SHOWN_STEPS);
  const shown = training.filter((row, i) => i % every === 0 || Number.isFinite(row["distanceAll"]));
  const scalars = [...scalarsOf(shown, TRAINING), ...scalarsOf(evaluations, EVALUATION)]
    .map(({ tag, step, value }) => ({
      tag,
      step,
      value,
      wallTime: start + (end - start) * (step / lastStep),
    }))
    .sort((a, b) => a.step - b.step);
  const host = hostname().replaceAll(/[^\w.-]/g, "-");
  const name = `events.out.tfevents.${Math.floor(start)}.${host}`;
  const others = (await readdir(folder)).filter(
    (old) => old.startsWith("events.out.tfevents.") && old !== name,
  );
  for (const old of others) {
    await unlink(join(folder, old)).catch((cause) => {
      throw fileError(cause, "delete", join(folder, old));
    });
  }
  const path = join(folder, name);
  await writeFileAtomically(path, await encodeEvents(scalars, start));
  return path;
}

function scalarsOf(rows: readonly MetricNumbers[], tags: Readonly<Record<string, string>>) {
  return rows.flatMap((row) =>
    Object.entries(tags).flatMap(([key, tag]) => {
      const value = row[key] ?? Number.NaN;
      return Number.isFinite(value) ? [{ tag, step: row["step"]!, value }] : [];
    }),
  );
}

/** The records of a file: its version, then an event per scalar. */
export async function encodeEvents(scalars: readonly Scalar[], start: number): Promise<Uint8Array[]> {
  const [{ crc32c }, { default: protobuf }] = await Promise.all([
    import("@node-rs/crc32"),
    import("protobufjs/minimal.js"),
  ]);
  const LENGTH_DELIMITED = 2;
  const FIXED32 = 5;
  const FIXED64 = 1;
  const VARINT = 0;
  const tag = (field: number, type: number) => (field << 3) | type;
  const event = (wallTime: number) => protobuf.Writer.create().uint32(tag(1, FIXED64)).double(wallTime);
  const masked = (bytes: Uint8Array) => {
    const crc = crc32c(bytes) >>> 0;
    return ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) >>> 0;
  };
  const record = (bytes: Uint8Array): Uint8Array => {
    const whole = new Uint8Array(16 + bytes.length);
    const view = new DataView(whole.buffer);
    view.setBigUint64(0, BigInt(bytes.length), true);
    view.setUint32(8, masked(whole.subarray(0, 8)), true);
    whole.set(bytes, 12);
    view.setUint32(12 + bytes.length, masked(bytes), true);
    return whole;
  };
  const version = event(start).uint32(tag(3, LENGTH_DELIMITED)).string("brain.Event:2").finish();
  return [
    record(version),
    ...scalars.map(({ tag: name, step, value, wallTime }) => {
      const one = protobuf.Writer.create()
        .uint32(tag(1, LENGTH_DELIMITED))
        .string(name)
        .uint32(tag(2, FIXED32))
        .float(value)
        .finish();
      const summary = protobuf.Writer.create().uint32(tag(1, LENGTH_DELIMITED)).bytes(one).finish();
      return record(
        event(wallTime)
          .uint32(tag(2, VARINT))
          .int64(step)
          .uint32(tag(5, LENGTH_DELIMITED))
          .bytes(summary)
          .finish(),
      );
    }),
  ];
}
