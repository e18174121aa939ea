import { Command, Option } from "commander";
import { untilInterrupted } from "../local-server.ts";
import { runsDirOption, wholeNumber } from "../options.ts";
import { startWatch } from "../watch-server.ts";

export function watchCommand(): Command {
  return new Command("watch")
    .description("serve a live page of running and finished runs; it only reads their folders")
    .addOption(runsDirOption())
    .addOption(
      new Option("--port <number>", "port; 0 for any free port").argParser(wholeNumber(0)).default(6230),
    )
    .addOption(
      new Option(
        "--host <address>",
        "address to listen on; an address other than the loopback shows the runs to the network",
      ).default("127.0.0.1"),
    )
    .action(async ({ runsDir, port, host }: { runsDir: string; port: number; host: string }) => {
      const server = await startWatch({ runsDirectory: runsDir, host, port });
      for (const warning of server.warnings) console.error(`warning: ${warning}`);
      console.log(`watching ${runsDir} at ${server.urls.join(" ")} (Ctrl-C to stop)`);
      await untilInterrupted();
      await server.close();
    });
}
