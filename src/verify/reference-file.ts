/**
 * Reference files: safetensors whose `__metadata__.cases` is a JSON list of cases. An operation is
 *
 *   {"op": "conv2d", "prefix": "0.", "tensors": ["x", "weight", "output", …], …attributes}
 *
 * with its tensors under prefix + name; a training run is {"model": "f1", "options": {…}, …settings} with its tensors
 * under fixed names (training-run.ts). Everything in a file is checked before use.
 */
import { z } from "zod";
import { type OpenTensorFile, openSafetensors } from "../storage/safetensors.ts";
import { describeFault, parseJson } from "../support/damage.ts";
import { DataError } from "../support/errors.ts";
import { shapeText } from "../tensor/shape.ts";

/** A tensor of a file, as numbers. */
export interface Values {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

const Operation = z.looseObject({
  op: z.string().min(1),
  prefix: z.string(),
  tensors: z.array(z.string()).min(1),
});
const Run = z.looseObject({ model: z.string().min(1) });

export class ReferenceCase {
  /** Position in its file. */
  readonly index: number;
  readonly kind: "operation" | "run";
  /** The operation, or the model. */
  readonly name: string;
  /** The tensors named by the case; empty for a run. */
  readonly tensors: readonly string[];
  readonly #path: string;
  readonly #prefix: string;
  readonly #attributes: object;
  readonly #file: OpenTensorFile;

  /** @throws DataError if it is neither an operation nor a run, or names a tensor that is not in the file */
  constructor(path: string, index: number, attributes: unknown, file: OpenTensorFile) {
    this.#path = path;
    this.index = index;
    this.#file = file;
    const hasOp = typeof attributes === "object" && attributes !== null && "op" in attributes;
    const parsed = (hasOp ? Operation : Run).safeParse(attributes);
    if (!parsed.success) {
      throw new DataError(
        `${path}: case ${index}: expected {"op", "prefix", "tensors", …} or {"model", …}: ${describeFault(parsed.error.issues, attributes)}`,
      );
    }
    this.#attributes = parsed.data;
    this.kind = hasOp ? "operation" : "run";
    this.name = String(hasOp ? parsed.data.op : parsed.data.model);
    this.#prefix = hasOp ? String(parsed.data.prefix) : "";
    this.tensors = hasOp ? (parsed.data.tensors as string[]) : [];
    for (const name of this.tensors) {
      if (!this.has(name))
        throw this.error(
          `names the tensor ${JSON.stringify(name)}, but the file has no ${JSON.stringify(this.#prefix + name)}`,
        );
    }
  }

  /** An error about this case, saying where it is. */
  error(message: string, cause?: unknown): DataError {
    return new DataError(`${this.#path}: case ${this.index} (${this.name}): ${message}`, { cause });
  }

  /** Its attributes, checked. @throws DataError naming the attribute */
  attributes<T>(schema: z.ZodType<T>): T {
    const parsed = schema.safeParse(this.#attributes);
    if (!parsed.success) throw this.error(describeFault(parsed.error.issues, this.#attributes));
    return parsed.data;
  }

  /** Its attributes as text, such as "stride 2", without those that every case has. */
  describeAttributes(): string[] {
    const common = ["op", "prefix", "tensors", "model"];
    return Object.entries(this.#attributes)
      .filter(([name]) => !common.includes(name))
      .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  }

  has(name: string): boolean {
    return this.#file.tensors.has(this.#prefix + name);
  }

  /** Names of the tensors that start with `start`, without it. */
  namesAfter(start: string): string[] {
    const whole = this.#prefix + start;
    return [...this.#file.tensors.keys()]
      .filter((name) => name.startsWith(whole))
      .map((name) => name.slice(whole.length));
  }

  /** @throws DataError when the file does not have it, or its shape is not the `expected` one */
  shape(name: string, expected?: readonly number[]): readonly number[] {
    const entry = this.#file.tensors.get(this.#prefix + name);
    if (!entry) throw this.error(`has no tensor ${JSON.stringify(this.#prefix + name)}`);
    if (expected && entry.shape.join() !== expected.join()) {
      throw this.error(`${name} is ${shapeText(entry.shape)}, expected ${shapeText(expected)}`);
    }
    return entry.shape;
  }

  /** @throws as `shape`, and when the tensor does not hold floating-point numbers */
  async floats(name: string, expected?: readonly number[]): Promise<Values> {
    const shape = this.shape(name, expected);
    const { data, dtype } = await this.#file.read(this.#prefix + name);
    if (data instanceof Float32Array) return { shape, data: data as Float32Array<ArrayBuffer> };
    if (data instanceof Float64Array) return { shape, data: Float32Array.from(data) };
    throw this.error(`${name} is ${dtype}, expected floating-point numbers`);
  }

  /** Whole numbers from 0 to below `limit`. @throws as `shape`, and when they are something else */
  async integers(
    name: string,
    limit: number,
    expected?: readonly number[],
  ): Promise<Uint32Array<ArrayBuffer>> {
    this.shape(name, expected);
    const { data, dtype } = await this.#file.read(this.#prefix + name);
    if (data instanceof Float32Array || data instanceof Float64Array)
      throw this.error(`${name} is ${dtype}, expected whole numbers`);
    const values = Array.from<number | bigint, number>(data, Number);
    const wrong = values.findIndex((value) => value < 0 || value >= limit);
    if (wrong >= 0) throw this.error(`${name}[${wrong}] is ${values[wrong]}, expected 0 to ${limit - 1}`);
    return Uint32Array.from(values);
  }
}

export interface ReferenceFile {
  readonly path: string;
  readonly cases: readonly ReferenceCase[];
  close(): Promise<void>;
}

/** @throws DataError saying what is wrong with the file */
export async function openReferenceFile(path: string): Promise<ReferenceFile> {
  const file = await openSafetensors(path);
  try {
    return { path, cases: casesOf(path, file), close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function casesOf(path: string, file: OpenTensorFile): ReferenceCase[] {
  const text = file.metadata.get("cases");
  if (text === undefined)
    throw new DataError(`${path}: not a reference file: its __metadata__ has no "cases"`);
  const list = parseJson(text, `${path}: the "cases" of its __metadata__`);
  if (!Array.isArray(list) || list.length === 0) {
    throw new DataError(
      `${path}: the "cases" of its __metadata__ must be a JSON list with at least one case`,
    );
  }
  return list.map((attributes, index) => new ReferenceCase(path, index, attributes, file));
}
