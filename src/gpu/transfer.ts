/** Copies bytes to, within and from the GPU. Earlier dispatches must have been submitted. */
import { DeviceError, messageOf } from "../support/errors.ts";
import type { DeviceFailures } from "./failures.ts";
import type { DeviceMemory } from "./memory.ts";
import type { BufferView } from "./storage.ts";

export function writeView(device: GPUDevice, view: BufferView, data: ArrayBufferView<ArrayBuffer>): void {
  const buffer = view.storage.buffer;
  if (!buffer) throw new DeviceError(`${view.storage.label}: no memory to write to`);
  const whole = data.byteLength - (data.byteLength % 4);
  device.queue.writeBuffer(buffer, view.byteOffset, data.buffer, data.byteOffset, whole);
  if (whole === data.byteLength) return;
  const tail = new Uint8Array(4);
  tail.set(new Uint8Array(data.buffer, data.byteOffset + whole, data.byteLength - whole));
  device.queue.writeBuffer(buffer, view.byteOffset + whole, tail);
}

export function copyView(device: GPUDevice, source: BufferView, target: BufferView): void {
  const [read, written] = [source.storage.buffer, target.storage.buffer];
  if (!read || !written)
    throw new DeviceError(`copy of ${source.storage.label}: no memory outside its recording`);
  const encoder = device.createCommandEncoder({ label: "copy" });
  encoder.copyBufferToBuffer(read, source.byteOffset, written, target.byteOffset, source.byteLength);
  device.queue.submit([encoder.finish()]);
}

export async function readView(
  gpu: { readonly device: GPUDevice; readonly memory: DeviceMemory; readonly failures: DeviceFailures },
  view: BufferView,
): Promise<ArrayBuffer> {
  const { device, memory, failures } = gpu;
  const source = view.storage.buffer;
  if (!source) throw new DeviceError(`${view.storage.label}: no memory to read from`);
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
