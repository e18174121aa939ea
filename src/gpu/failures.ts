/**
 * What goes wrong on a device. WebGPU tells it later than it was caused, and often without a name; it is kept here
 * with the last kernel that was submitted, and thrown at the next await of a read or settle.
 */
import { DeviceError, DeviceLostError, GhostbatchError, messageOf, ShaderError } from "../support/errors.ts";

export class DeviceFailures {
  /** File of the last kernel that was submitted: told with errors that name none. */
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

  /** Keeps what `work` throws; `check` waits for it. */
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

  /** Runs `create` and keeps, as `message` tells it, the error of the kind that WebGPU finds in it. */
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

  /** Waits for what is watched. @throws the first failure so far, now and from now on */
  async check(): Promise<void> {
    await Promise.all(this.#checks);
    if (this.#failure) throw this.#failure;
  }

  /** @throws the first failure that is known, without waiting for what is watched */
  throwKnown(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Keeps an error to be thrown by `check`: the first one, but a shader's own over those that follow from it. */
  keep(error: GhostbatchError): void {
    if (!this.#failure || (error instanceof ShaderError && !(this.#failure instanceof ShaderError)))
      this.#failure = error;
  }
}
