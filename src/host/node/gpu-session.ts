/** The GPU of a command's process: opened when first needed, and again if it was lost. */

import { DEFAULT_ASSUMED } from "../../gpu/assumed-gpu.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { DeviceError } from "../../support/errors.ts";
import { openAssumed } from "./assumed-limits.ts";
import { type OpenGpuOptions, openGpu } from "./open-gpu.ts";

interface SessionOptions extends Pick<OpenGpuOptions, "adapter" | "tuning"> {
  /** Called with every device that is opened. */
  readonly onOpen?: (gpu: Gpu) => void;
  /** For a session that only plans: whose limits to use. Without a name, the adapter present, or a common one if there is none. */
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

  /** @throws DeviceError as openGpu; in a session that only plans, if the named adapter is not present */
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
        `note: no GPU here; planned with the limits of ${DEFAULT_ASSUMED} (--assume-limits names another)`,
      );
      return openAssumed(DEFAULT_ASSUMED);
    }
  }

  /** Forgets a lost device; the next `open` returns a new one. */
  forget(): void {
    this.#gpu = null;
  }
}
