/** Entry of the command line; everything else is in program.ts. */
import { keepOutput } from "./output.ts";
import { run } from "./program.ts";

const output = keepOutput();
process.exit(await output.end(await run(process.argv)));
