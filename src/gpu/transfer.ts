/** Copies bytes to, within and from the GPU. Earlier dispatches must have been submitted. */
import { DeviceError, messageOf, ShapeError } from "../support/errors.ts";
import type { DeviceFailures } from "./failures.ts";
import type { DeviceMemory } from "./memory.ts";
import type { BufferView } from "./storage.ts";

/** @throws ShapeError for more bytes than the view has, which would overwrite its neighbors */
export function writeView(device: GPUDevice, view: BufferView, data: ArrayBufferView<ArrayBuffer>): void {
  const { storage, byteLength } = view;
  const buffer = storage.requireBuffer("write", device);
  // Memory comes in whole words.
  if (data.byteLength > Math.ceil(byteLength / 4) * 4)
    throw new ShapeError(`write to ${storage.label}: it has ${byteLength} bytes, but got ${data.byteLength}`);
  const whole = data.byteLength - (data.byteLength % 4);
  device.queue.writeBuffer(buffer, view.byteOffset, data.buffer, data.byteOffset, whole);
  if (whole === data.byteLength) return;
  const tail = new Uint8Array(4);
  tail.set(new Uint8Array(data.buffer, data.byteOffset + whole, data.byteLength - whole));
  device.queue.writeBuffer(buffer, view.byteOffset + whole, tail);
}

export function copyView(device: GPUDevice, source: BufferView, target: BufferView): void {
  const [read, written] = [source, target].map(({ storage }) => storage.requireBuffer("copy", device));
  if (source.byteLength !== target.byteLength) {
    throw new ShapeError(
      `copy of ${source.storage.label} to ${target.storage.label}: ${source.byteLength} bytes do not fit ${target.byteLength}`,
    );
  }
  const encoder = device.createCommandEncoder({ label: "copy" });
  encoder.copyBufferToBuffer(read!, source.byteOffset, written!, target.byteOffset, source.byteLength);
  device.queue.submit([encoder.finish()]);
}

export async function readView(
  gpu: { readonly device: GPUDevice; readonly memory: DeviceMemory; readonly failures: DeviceFailures },
  view: BufferView,
): Promise<ArrayBuffer> {
  const { device, memory, failures } = gpu;
  const source = view.storage.requireBuffer("read", device);
  const size = Math.ceil(view.byteLength / 4) * 4;
  const staging = memory.staging.acquire(size, "read-back");
  const encoder = device.createCommandEncoder({ label: "read-back" });
  encoder.copyBufferToBuffer(source, view.byteOffset, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  let copy: ArrayBuffer;
  try {
    await staging.mapAsync(0x1, 0, size); // GPUMapMode.READ
    copy = staging.getMappedRange(0, size).slice(0, view.byteLength);
  } catch (cause) {
    await failures.check();
    throw new DeviceError(`reading ${view.storage.label} after ${failures.lastKernel}: ${messageOf(cause)}`, {
      cause,
    });
  } finally {
    staging.unmap();
    memory.staging.release(staging);
  }
  await failures.check();
  return copy;
}
