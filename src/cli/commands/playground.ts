import { Command, Option } from "commander";
import { isLoopback, untilInterrupted } from "../local-server.ts";
import { wholeNumber } from "../options.ts";
import { playgroundFiles } from "../playground-files.ts";
import { startPlayground, writeSite } from "../playground-server.ts";

interface PlaygroundFlags {
  readonly port: number;
  readonly host: string;
  readonly build?: string;
}

export function playgroundCommand(): Command {
  return new Command("playground")
    .description("serve a page that trains the paper's five methods in the browser, on the visitor's GPU")
    .addOption(
      new Option("--port <number>", "port; 0 for any free port").argParser(wholeNumber(0)).default(6231),
    )
    .addOption(
      new Option(
        "--host <address>",
        "address to listen on; browsers offer WebGPU only on the loopback address and over https",
      ).default("127.0.0.1"),
    )
    .addOption(
      new Option("--build <folder>", "write the page as a static site, which any host can serve, and exit"),
    )
    .action(run);
}

async function run({ build, host, port }: PlaygroundFlags): Promise<void> {
  const files = await playgroundFiles();
  if (build !== undefined) {
    await writeSite(files, build);
    console.log(`wrote ${files.size} files to ${build}: any web server can serve them, from any path`);
    return;
  }
  const server = await startPlayground(files, { host, port });
  if (!isLoopback(host))
    console.error(
      `warning: ${host} is not a loopback address: without https, browsers there offer no WebGPU and show the recorded race`,
    );
  console.log(`playground at ${server.urls.join(" ")} (Ctrl-C to stop)`);
  await untilInterrupted();
  await server.close();
}
