/** The GPU of a command's process: opened when it is first needed, and once more where it was lost. */
import type { Gpu } from "../../gpu/gpu.ts";
import { type OpenGpuOptions, openGpu } from "./open-gpu.ts";

export class GpuSession {
  readonly #options: OpenGpuOptions;
  readonly #onOpen: (gpu: Gpu) => void;
  #gpu: Promise<Gpu> | null = null;

  /** @param options.onOpen sees every device that is opened */
  constructor({
    onOpen = () => undefined,
    ...options
  }: Pick<OpenGpuOptions, "adapter" | "tuning"> & { onOpen?: (gpu: Gpu) => void } = {}) {
    this.#options = { ...options, relaunch: true };
    this.#onOpen = onOpen;
  }

  /** @throws DeviceError as openGpu */
  open(): Promise<Gpu> {
    this.#gpu ??= openGpu(this.#options).then((gpu) => {
      this.#onOpen(gpu);
      return gpu;
    });
    return this.#gpu;
  }

  /** Forgets a device that is lost: the next `open` gives a new one. */
  forget(): void {
    this.#gpu = null;
  }
}
