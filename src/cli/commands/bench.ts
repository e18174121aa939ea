import { Command } from "commander";
import { benchGhostCommand } from "./bench-gbn.ts";
import { benchKernelCommand } from "./bench-kernel.ts";
import { benchKernelsCommand } from "./bench-kernels.ts";
import { benchPeersCommand } from "./bench-peers.ts";
import { benchStaticCommand } from "./bench-static.ts";
import { benchStepCommand } from "./bench-step.ts";

export function benchCommand(): Command {
  return new Command("bench")
    .description("measure the speed of kernels and training steps")
    .addCommand(benchKernelsCommand())
    .addCommand(benchKernelCommand())
    .addCommand(benchGhostCommand())
    .addCommand(benchStepCommand())
    .addCommand(benchStaticCommand())
    .addCommand(benchPeersCommand());
}
