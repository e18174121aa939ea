/** The GPU of a command's process: opened when it is first needed, and once more where it was lost. */

import { DEFAULT_ASSUMED } from "../../gpu/assumed-gpu.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { DeviceError } from "../../support/errors.ts";
import { openAssumed } from "./assumed-limits.ts";
import { type OpenGpuOptions, openGpu } from "./open-gpu.ts";

interface SessionOptions extends Pick<OpenGpuOptions, "adapter" | "tuning"> {
  /** Sees every device that is opened. */
  readonly onOpen?: (gpu: Gpu) => void;
  /** Of a session that trains nothing: whose limits to plan with. Without a name the adapter here, or a usual one where there is none. */
  readonly planWith?: { readonly limits?: string | undefined } | undefined;
}

export class GpuSession {
  readonly #options: OpenGpuOptions;
  readonly #onOpen: (gpu: Gpu) => void;
  readonly #planWith: SessionOptions["planWith"];
  #gpu: Promise<Gpu> | null = null;

  constructor({ onOpen = () => undefined, planWith, ...options }: SessionOptions = {}) {
    this.#options = { ...options, relaunch: true };
    this.#onOpen = onOpen;
    this.#planWith = planWith;
  }

  /** @throws DeviceError as openGpu; in a session that only plans, where the adapter named is not there */
  open(): Promise<Gpu> {
    this.#gpu ??= this.#openAnew().then((gpu) => {
      this.#onOpen(gpu);
      return gpu;
    });
    return this.#gpu;
  }

  async #openAnew(): Promise<Gpu> {
    if (this.#planWith?.limits !== undefined) return openAssumed(this.#planWith.limits);
    if (this.#planWith === undefined || this.#options.adapter !== undefined) return openGpu(this.#options);
    try {
      return await openGpu(this.#options);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      console.error(
        `note: no GPU here: planned with the limits of ${DEFAULT_ASSUMED}; --assume-limits names another`,
      );
      return openAssumed(DEFAULT_ASSUMED);
    }
  }

  /** Forgets a device that is lost: the next `open` gives a new one. */
  forget(): void {
    this.#gpu = null;
  }
}
