/** Entry of the MPI thread of a rank, started by bin/mpi-thread.mjs. */
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../../support/errors.ts";
import { loadMpi } from "./library.ts";
import type { Answer, Call, ThreadOptions } from "./protocol.ts";
import { RankThread } from "./rank-thread.ts";

const port = parentPort!;
const options = workerData as ThreadOptions;
const answer = (message: Answer, moved: ArrayBuffer[] = []) => port.postMessage(message, moved);

try {
  const mpi = await loadMpi(options.launch, options.file);
  const thread = new RankThread(mpi, options, (hanging) => answer({ hanging }));
  port.on("message", (call: Call | { readonly abort: number }) => {
    try {
      if ("abort" in call) thread.abort(call.abort);
      else if (call.call === "close") {
        thread.close();
        answer({ done: null });
        port.close();
      } else {
        const done = thread.run(call);
        answer({ done }, [done.buffer]);
      }
    } catch (error) {
      answer({ failed: messageOf(error) });
    }
  });
  const { rank, size } = thread;
  answer({ ready: { rank, size, version: mpi.version } });
} catch (error) {
  answer({ failed: messageOf(error) });
}
