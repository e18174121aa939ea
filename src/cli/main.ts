/** The command line's process: everything it says and does is in program.ts. */
import { endWithParent } from "../host/software-gpu.ts";
import { run } from "./program.ts";

endWithParent();
process.exit(await run(process.argv));
