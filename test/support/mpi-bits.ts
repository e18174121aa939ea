// A program for several ranks: trains small networks with four shards and prints a hash of each one's result. Without a launcher
// it trains them in one process.
import { createHash } from "node:crypto";
import { launchOf } from "../../src/host/node/mpi/launcher.ts";
import { MpiCommunicator } from "../../src/host/node/mpi/mpi-communicator.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { gatherValues } from "../../src/run/ranks.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import { ALONE } from "../../src/train/communicator.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { smallRun } from "./small-run.ts";

/** 150 images in batches of 64: the last batch has 22, in ghosts of 8 and 14, so that two of its shards are empty. */
const RULES = ["sequential", "mean", "full", "composer", "paper-literal"] as const;

const gpu = await openGpu();
const launch = launchOf();
const mpi = launch && (await MpiCommunicator.open({ launch, patient: true, watchdogMs: 60_000 }));
const communicator = mpi ?? ALONE;
for (const rule of RULES) {
  const { state, data, options } = smallRun(gpu, { ghostSize: 8, maxSteps: 7 });
  const running = { rule, momentum: 0.1 };
  const trainer = await Trainer.create(gpu, state, data, { ...options, running, shards: 4, communicator });
  const hash = createHash("sha256");
  for await (const event of trainer.run()) hash.update(JSON.stringify(event));
  const { values, velocity, normState } = state;
  for (const tensor of [values, velocity, normState!.runningMean, normState!.runningVariance])
    hash.update(new Uint8Array((await readFloats(tensor)).buffer));
  const hashes = await gatherValues(communicator, hash.digest("hex").slice(0, 16));
  if (communicator.rank === 0) console.log(`${rule} ${[...new Set(hashes)].join(" ")}`);
}
await mpi?.close();
process.exit(0);
