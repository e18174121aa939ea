import { Command, Option } from "commander";
import { runsDirOption, wholeNumber } from "../options.ts";
import { startWatch } from "../watch-server.ts";

export function watchCommand(): Command {
  return new Command("watch")
    .description(
      "a page on this machine that shows running and finished runs as they go; reads their folders, never slows them",
    )
    .addOption(runsDirOption())
    .addOption(
      new Option("--port <number>", "port; 0 takes a free one").argParser(wholeNumber(0)).default(6230),
    )
    .addOption(
      new Option(
        "--host <address>",
        "address to listen on; anything but the loopback shows the runs to the network",
      ).default("127.0.0.1"),
    )
    .action(async ({ runsDir, port, host }: { runsDir: string; port: number; host: string }) => {
      const server = await startWatch({ runsDirectory: runsDir, host, port });
      for (const warning of server.warnings) console.error(`warning: ${warning}`);
      console.log(`watching ${runsDir} at ${server.urls.join(" ")} (Ctrl-C ends it)`);
      await new Promise<void>((resolve) => {
        process.once("SIGINT", resolve);
        process.once("SIGTERM", resolve);
      });
      await server.close();
    });
}
