// A program for several ranks: prints on rank 0 how many bytes of the C library's code, in any rank, differ from those in its file.
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { launchOf } from "../../src/host/node/mpi/launcher.ts";
import { MpiCommunicator } from "../../src/host/node/mpi/mpi-communicator.ts";

const mpi = await MpiCommunicator.open({ launch: launchOf()!, patient: true, watchdogMs: 60_000 });
// Address range, permissions and offset in the file of each mapping.
const mappings = [
  ...readFileSync("/proc/self/maps", "latin1").matchAll(
    /^([0-9a-f]+)-([0-9a-f]+) r-xp ([0-9a-f]+) \S+ \d+ +(\S*\/libc[.-]\S*)$/gm,
  ),
];
const memory = openSync("/proc/self/mem", "r");
let compared = 0;
let different = 0;
for (const [, begin, end, offset, path] of mappings) {
  const [first, last, from] = [begin, end, offset].map((digits) => Number.parseInt(digits!, 16));
  const file = readFileSync(path!).subarray(from, from! + last! - first!);
  const code = Buffer.alloc(file.length);
  readSync(memory, code, 0, code.length, first!);
  compared += code.length;
  for (let i = 0; i < code.length; i++) if (code[i] !== file[i]) different++;
}
closeSync(memory);
const all = await mpi.gather(new Uint8Array(new Uint32Array([compared > 0 ? different : -1]).buffer));
if (mpi.rank === 0) console.log(new Uint32Array(all.buffer).join(" "));
await mpi.close();
process.exit(0);
