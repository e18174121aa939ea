import { Command } from "commander";
import { describeMnist } from "../../data/mnist.ts";
import { formatBytes, formatCount } from "../../support/format.ts";
import { dataDirOption, jsonOption } from "../options.ts";

export function dataCommand(): Command {
  return new Command("data")
    .description("where a data set's files are, and whether they are right")
    .addCommand(mnistCommand());
}

function mnistCommand(): Command {
  return new Command("mnist")
    .description("MNIST: files, checksums, class counts")
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .action(({ dataDir, json }: { dataDir?: string; json?: boolean }) => {
      const description = describeMnist({ dataDir });
      if (!description.files.every(({ matches }) => matches)) process.exitCode = 2;
      if (json) {
        console.log(JSON.stringify(description, null, 2));
        return;
      }
      console.log(`MNIST from ${description.source}`);
      for (const { path, bytes, sha256, matches } of description.files) {
        console.log(`${matches ? "ok     " : "differs"} ${sha256} ${formatBytes(bytes).padStart(9)}  ${path}`);
      }
      for (const part of ["train", "test"] as const) {
        const { count, classCounts } = description[part];
        console.log(`${part}: ${formatCount(count)} images; per class 0 to 9: ${classCounts.map(formatCount).join(" ")}`);
      }
    });
}
