// Starts the thread that makes a rank's MPI calls, as ghostbatch.mjs starts the command line.
import { existsSync } from "node:fs";
import { pathToFileURL } from "node:url";

const source = new URL("../src/host/node/mpi/thread.ts", import.meta.url);

if (!existsSync(source)) {
  await import(new URL("../dist/host/node/mpi/thread.js", import.meta.url).href);
} else {
  const { currentProgram } = await import(new URL("../scripts/program.mjs", import.meta.url).href);
  const program = await currentProgram("mpi-thread.mjs");
  if (program === null) {
    const { register } = await import("tsx/esm/api");
    register();
  }
  await import(program === null ? source.href : pathToFileURL(program).href);
}
