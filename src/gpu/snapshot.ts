/**
 * A read-back that does not delay the steps: the bytes are copied in order with the work on the queue, and arrive
 * on the CPU while later steps run.
 */
import { DeviceError, messageOf } from "../support/errors.ts";
import type { Gpu } from "./gpu.ts";
import { aligned, type BufferView } from "./storage.ts";

export class Snapshot {
  readonly #gpu: Gpu;
  readonly #views: readonly BufferView[];
  readonly #staging: GPUBuffer;
  #busy: Promise<unknown> = Promise.resolve();

  /** @param views what every snapshot holds; lengths are multiples of 4 bytes */
  constructor(gpu: Gpu, views: readonly BufferView[]) {
    this.#gpu = gpu;
    this.#views = views;
    const bytes = views.reduce((sum, view) => sum + aligned(view.byteLength), 0);
    this.#staging = gpu.memory.createPersistent(bytes, "staging", "snapshot");
  }

  /** Resolves when the last snapshot has arrived. Until then no other can be taken. */
  async idle(): Promise<void> {
    await this.#busy;
  }

  /**
   * Copies the views, as they are after all work submitted so far. Resolves to their bytes, in order.
   * @param into byte arrays of an earlier snapshot that is no longer in use; overwritten, instead of allocating new ones
   * @throws DeviceError if the device is lost in the meantime
   */
  take(into: readonly ArrayBuffer[] | null = null): Promise<ArrayBuffer[]> {
    this.#gpu.flush();
    const encoder = this.#gpu.device.createCommandEncoder({ label: "snapshot" });
    let offset = 0;
    for (const view of this.#views) {
      const buffer = view.storage.requireBuffer("read", this.#gpu.device);
      encoder.copyBufferToBuffer(buffer, view.byteOffset, this.#staging, offset, view.byteLength);
      offset += aligned(view.byteLength);
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
    const bytes = this.#arrive(into);
    this.#busy = bytes.catch(() => undefined);
    return bytes;
  }

  async #arrive(into: readonly ArrayBuffer[] | null): Promise<ArrayBuffer[]> {
    try {
      await this.#staging.mapAsync(0x1); // GPUMapMode.READ
    } catch (cause) {
      await this.#gpu.settle(); // throws the device's own error
      throw new DeviceError(`reading a snapshot: ${messageOf(cause)}`, { cause });
    }
    let offset = 0;
    const parts = this.#views.map(({ byteLength }, i) => {
      const mapped = new Uint8Array(this.#staging.getMappedRange(offset, byteLength));
      const part = into?.[i] ?? new ArrayBuffer(byteLength);
      new Uint8Array(part).set(mapped);
      offset += aligned(byteLength);
      return part;
    });
    this.#staging.unmap();
    return parts;
  }
}
