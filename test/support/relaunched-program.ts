// A program that runs on the software GPU whatever it was started on, then does as its argument says.
import { endWithParent, relaunchOnSoftwareGpu, runningOnSoftwareNode } from "../../src/host/software-gpu.ts";

endWithParent();
if (!runningOnSoftwareNode()) await relaunchOnSoftwareGpu();

const [task] = process.argv.slice(2);
console.log(`pid ${process.pid}`);
if (task === "leave") process.exitCode = 7;
if (task === "wait") setInterval(() => {}, 1000);
if (task === "count") {
  let interrupts = 0;
  process.on("SIGINT", () => interrupts++);
  process.on("SIGUSR2", () => process.exit(10 + interrupts));
  setInterval(() => {}, 1000);
}
