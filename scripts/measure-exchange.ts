// The sum of all ranks' values in a fixed tree against MPI_Allreduce, one after the other. On each rank:
//   mpirun -n 4 node --import tsx scripts/measure-exchange.ts [MB…] [--repeats N] [--spin]
import { launchOf } from "../src/host/node/mpi/launcher.ts";
import { MpiCommunicator } from "../src/host/node/mpi/mpi-communicator.ts";
import { median } from "../src/support/statistics.ts";

const words = process.argv.slice(2);
const at = words.indexOf("--repeats");
const repeats = at < 0 ? 5 : Number(words[at + 1]);
const sizes = words.filter((word, i) => /^[\d.]+$/.test(word) && (at < 0 || i !== at + 1)).map(Number);
const launch = launchOf("mpi");
if (launch === null) throw new Error("start this with mpirun -n 2 or more");
const patient = !words.includes("--spin");
const mpi = await MpiCommunicator.open({ launch, patient, watchdogMs: 600_000 });

for (const megabytes of sizes.length > 0 ? sizes : [2.6, 60, 244]) {
  const length = Math.ceil((megabytes * 1e6) / 4 / mpi.size) * mpi.size;
  const own = () => {
    const numbers = new Float32Array(length);
    for (let i = 0; i < length; i++) numbers[i] = Math.sin(i * (mpi.rank + 1));
    return numbers;
  };
  let values = own();
  const tree: number[] = [];
  const allreduce: number[] = [];
  for (let i = 0; i <= repeats; i++) {
    for (const [times, run] of [
      [tree, () => mpi.sum(values)],
      [allreduce, () => mpi.allreduce(values)],
    ] as const) {
      values.fill(1 / (mpi.rank + 1));
      await mpi.gather(new Uint8Array(1)); // all begin together
      const begin = performance.now();
      values = await run();
      if (i > 0) times.push(performance.now() - begin);
    }
  }
  values = await mpi.sum(own());
  const ordered = values.slice();
  values = await mpi.allreduce(own());
  let differing = 0;
  for (let i = 0; i < length; i++) if (values[i] !== ordered[i]) differing++;
  if (mpi.rank > 0) continue;
  const line = {
    library: mpi.version.split(",")[0],
    ranks: mpi.size,
    megabytes,
    n: repeats,
    treeMs: spread(tree),
    allreduceMs: spread(allreduce),
    ratio: Number((median(allreduce) / median(tree)).toPrecision(3)),
    differingPercent: Number(((100 * differing) / length).toPrecision(2)),
  };
  console.log(JSON.stringify(line));
}
await mpi.close();
process.exit(0);

/** Least, median and most, milliseconds. */
function spread(times: readonly number[]): number[] {
  return [Math.min(...times), median(times), Math.max(...times)].map((time) => Number(time.toPrecision(3)));
}
