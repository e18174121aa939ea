// A program that runs on the software GPU whatever it was started on, then waits for signals; with the argument `count` it
// leaves at SIGUSR2 with 10 and the number of SIGINTs it had by then.
import "../../bin/end-with-parent.mjs";
import { relaunchOnSoftwareGpu, runningOnSoftwareNode } from "../../src/host/node/software-gpu.ts";
import { limitMs } from "./limits.ts";

if (!runningOnSoftwareNode()) {
  // As a verb that would end at once, which then is the relaunched one's to decide.
  process.on("SIGUSR2", () => process.exit(1));
  await relaunchOnSoftwareGpu();
}

let interrupts = 0;
if (process.argv[2] === "count") {
  process.on("SIGINT", () => console.log(`interrupt ${++interrupts}`));
  process.on("SIGUSR2", () => process.exit(10 + interrupts));
}
// Long enough for any test, and not for ever where one fails.
setTimeout(() => {}, limitMs(300_000));
console.log(`pid ${process.pid}`);
