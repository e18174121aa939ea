/**
 * Errors of a device. WebGPU reports them late, and often without a name. They are kept here
 * with the name of the last submitted kernel, and thrown at the next await of a read or settle.
 */
import { DeviceError, DeviceLostError, GhostbatchError, messageOf, ShaderError } from "../support/errors.ts";

export class DeviceFailures {
  /** File of the last submitted kernel, added to errors that name none. */
  lastKernel = "no kernel yet";
  readonly #device: GPUDevice;
  readonly #checks = new Set<Promise<void>>();
  #failure: GhostbatchError | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
    device.onuncapturederror = ({ error }) =>
      this.keep(new DeviceError(`${this.lastKernel}: ${messageOf(error.message)}`));
    void device.lost.then((info) =>
      this.keep(new DeviceLostError(`device lost after ${this.lastKernel}: ${info.message || info.reason}`)),
    );
  }

  /** Keeps what `work` throws; `check` awaits it. */
  watch(work: Promise<unknown>): void {
    const settled: Promise<void> = work.then(
      () => void this.#checks.delete(settled),
      (error) => {
        this.#checks.delete(settled);
        this.keep(error instanceof GhostbatchError ? error : new DeviceError(String(error)));
      },
    );
    this.#checks.add(settled);
  }

  /** Runs `create` in an error scope of this kind, and keeps an error that WebGPU finds, with the text that `message` makes of it. */
  scope<T>(kind: GPUErrorFilter, create: () => T, message: (error: GPUError) => string): T {
    this.#device.pushErrorScope(kind);
    try {
      return create();
    } finally {
      this.watch(
        this.#device.popErrorScope().then((error) => {
          if (error) throw new DeviceError(message(error));
        }),
      );
    }
  }

  /** Waits for all watched work. @throws the first failure so far; every later call throws it again */
  async check(): Promise<void> {
    await Promise.all(this.#checks);
    if (this.#failure) throw this.#failure;
  }

  /** @throws the first known failure, without waiting for watched work */
  throwKnown(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Keeps an error for `check` to throw: the first one, except that a shader's error replaces one that follows from it. */
  keep(error: GhostbatchError): void {
    if (!this.#failure || (error instanceof ShaderError && !(this.#failure instanceof ShaderError)))
      this.#failure = error;
  }
}
