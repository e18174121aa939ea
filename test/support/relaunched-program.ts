// A program that relaunches itself on the software GPU, then waits for signals. With the argument `count` it exits at SIGUSR2 with
// code 10 plus the number of SIGINTs so far.
import "../../bin/end-with-parent.mjs";
import { relaunchOnSoftwareGpu, runningOnSoftwareNode } from "../../src/host/node/software-gpu.ts";
import { limitMs } from "./limits.ts";

if (!runningOnSoftwareNode()) {
  // Like a verb that would end at once; after relaunching, the new process decides.
  process.on("SIGUSR2", () => process.exit(1));
  await relaunchOnSoftwareGpu();
}

let interrupts = 0;
if (process.argv[2] === "count") {
  process.on("SIGINT", () => console.log(`interrupt ${++interrupts}`));
  process.on("SIGUSR2", () => process.exit(10 + interrupts));
}
// Long enough for any test, but not forever if one fails.
setTimeout(() => {}, limitMs(300_000));
console.log(`pid ${process.pid}`);
