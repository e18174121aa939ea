/** The command line's process: everything it says and does is in program.ts. */
import { keepOutput } from "./output.ts";
import { run } from "./program.ts";

const output = keepOutput();
process.exit(await output.end(await run(process.argv)));
