/** The worker of the race: the device, the images and the trainers live here, so that the page never waits for them. */
import type { ImageDataset } from "../data/dataset.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { fetchMnist } from "../host/browser/fetch-mnist.ts";
import { MissingGpuError } from "../host/browser/missing-gpu.ts";
import { openGpu } from "../host/browser/open-gpu.ts";
import { raceShaders } from "../host/browser/race-shaders.ts";
import { DeviceLostError, messageOf } from "../support/errors.ts";
import type { FromRace, ToRace } from "./messages.ts";
import { race } from "./race.ts";
import type { Settings } from "./settings.ts";

/** Rounds that may run now: all of them, or as many single ones as were requested. */
class Pause {
  #rounds = Number.POSITIVE_INFINITY;
  #wake: () => void = () => undefined;

  get isPaused(): boolean {
    return this.#rounds <= 0;
  }

  allow(rounds: number): void {
    this.#rounds = rounds;
    this.#wake();
  }

  async turn(): Promise<void> {
    while (this.isPaused) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#rounds--;
  }
}

const pause = new Pause();
const say = (message: FromRace) => self.postMessage(message);

self.onmessage = ({ data }: MessageEvent<ToRace>) => {
  if (data.kind === "start") void run(data.settings, data.images);
  else pause.allow({ pause: 0, resume: Number.POSITIVE_INFINITY, step: 1 }[data.kind]);
};

async function run(settings: Settings, images: string): Promise<void> {
  try {
    const { gpu, dataset } = await open(images);
    await race(gpu, dataset, settings, { control: pause, say });
  } catch (error) {
    if (error instanceof MissingGpuError)
      say({ kind: "missing", reason: error.reason, message: error.message });
    else say({ kind: "error", message: messageOf(error) + advice(error) });
  }
}

/** What a visitor can do about it. */
function advice(error: unknown): string {
  return error instanceof DeviceLostError
    ? ". Start the race again; if that does not help, reload the page."
    : "";
}

async function open(images: string): Promise<{ gpu: Gpu; dataset: ImageDataset }> {
  say({ kind: "phase", text: "Opening the GPU" });
  const gpu = await openGpu(raceShaders);
  say({ kind: "adapter", adapter: gpu.adapter });
  say({ kind: "phase", text: "Fetching MNIST, 1.5 MB" });
  return { gpu, dataset: await fetchMnist(images) };
}
