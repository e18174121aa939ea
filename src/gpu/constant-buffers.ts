/**
 * Uniform parameters of dispatches. Equal contents share one slot, so that a recorded step of hundreds of
 * dispatches has a handful of them and replaying writes none.
 */
import { ShaderError } from "../support/errors.ts";
import type { ParamField, ShaderFile } from "./shader.ts";

/** A slot, as a bind group takes it. */
interface Slot {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
}

export class ConstantBuffers {
  static readonly #SLOT = 256; // minUniformBufferOffsetAlignment of the WebGPU specification
  static readonly #CHUNK = 64 * 256; // slots are made 64 at a time
  readonly #device: GPUDevice;
  readonly #create: (bytes: number) => GPUBuffer;
  readonly #slots = new Map<string, Slot>();
  #chunk: GPUBuffer | null = null;
  #used = 0;

  constructor(device: GPUDevice, create: (bytes: number) => GPUBuffer) {
    this.#device = device;
    this.#create = create;
  }

  /** The slot that holds `values` in the order and types of a shader's `struct Params`. @throws ShaderError as `packParams` */
  bind(shader: Pick<ShaderFile, "path" | "params">, values: Readonly<Record<string, number>>): Slot {
    const words = packParams(shader, values);
    const key = words.join();
    const known = this.#slots.get(key);
    if (known) return known;
    if (this.#chunk === null || this.#used === ConstantBuffers.#CHUNK) {
      this.#chunk = this.#create(ConstantBuffers.#CHUNK);
      this.#used = 0;
    }
    const slot = { buffer: this.#chunk, offset: this.#used, size: Math.ceil(words.byteLength / 16) * 16 };
    this.#used += ConstantBuffers.#SLOT;
    this.#device.queue.writeBuffer(slot.buffer, slot.offset, words);
    this.#slots.set(key, slot);
    return slot;
  }
}

/** Whether a type of WGSL has this value, rounding aside. */
function isOf(type: ParamField["type"], value: number): boolean {
  if (type === "f32") return true;
  return Number.isInteger(value) && value === (type === "u32" ? value >>> 0 : value | 0);
}

/**
 * The words of a kernel's `params`, rounded up to 16 bytes as for any uniform.
 * @throws ShaderError for a value that is missing or that its field cannot hold: a DataView would store another number
 */
export function packParams(
  { path, params: fields }: Pick<ShaderFile, "path" | "params">,
  values: Readonly<Record<string, number>>,
): Uint32Array<ArrayBuffer> {
  const words = new DataView(new ArrayBuffer(Math.ceil((fields.length * 4) / 16) * 16));
  for (const [index, { name, type }] of fields.entries()) {
    const value = values[name];
    if (value === undefined || !isOf(type, Number(value)))
      throw new ShaderError(`${path}: params.${name} is ${value}, which is not a value of type ${type}`);
    if (type === "f32") words.setFloat32(index * 4, value, true);
    else if (type === "i32") words.setInt32(index * 4, value, true);
    else words.setUint32(index * 4, value, true);
  }
  return new Uint32Array(words.buffer);
}
