// What every engine's process does: prepares a case when it is told to, then runs it for a while at each message, and
// says how long one run took.
import { adapterName } from "./webgpu.mjs";

/** @type {string | null} */
let failure = null;

/** Work that the GPU refused takes no time: it must not count. @param {any} device */
export function failOnErrors(device) {
  device.addEventListener("uncapturederror", (/** @type {any} */ event) => {
    event.preventDefault();
    failure ??= event.error.message;
  });
}

/**
 * @param {(one: any) => Promise<() => Promise<void>>} prepare gives a function that runs the case once and waits for it
 */
export async function serve(prepare) {
  /** @type {null | (() => Promise<void>)} */
  let run = null;
  const timed = async (/** @type {() => Promise<unknown>} */ body) => {
    const start = performance.now();
    await body();
    const ms = performance.now() - start;
    if (failure !== null) throw new Error(failure);
    return ms;
  };
  process.on("message", async (/** @type {{ prepare?: object, forMs?: number }} */ message) => {
    try {
      if (message.prepare) {
        const ms = await timed(async () => {
          run = await prepare(message.prepare);
          await run(); // compiles
        });
        await run?.();
        process.send?.({ prepared: ms });
      } else if (run) {
        const times = [];
        let left = message.forMs ?? 0;
        do {
          times.push(await timed(run));
          left -= times.at(-1) ?? 0;
        } while (left > 0);
        process.send?.({ times });
      }
    } catch (error) {
      process.send?.({ error: String(error instanceof Error ? error.stack : error) });
    }
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.({ adapter: await adapterName() });
}
