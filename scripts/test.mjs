// Runs the tests on the best adapter of the machine: in this node if it has a GPU, else in the software GPU's node.
// Arguments are passed on to vitest; without --project, the projects that begin with `cpu` and `gpu` run.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { probeAdapter } from "./adapter.mjs";
import { softwareNode } from "./software-gpu.mjs";

const root = resolve(fileURLToPath(new URL("..", import.meta.url)));
const args = process.argv.slice(2);
if (!args.some((arg) => arg.startsWith("--project"))) args.unshift("--project", "cpu*", "--project", "gpu*");

const { adapter } = await probeAdapter();
const node = adapter ? process.execPath : softwareNode(root);
if (node === null) {
  console.error("test: found no GPU and no software GPU: run `npm run setup`");
  process.exit(1);
}
console.log(`test: on ${adapter?.name ?? "the software GPU"}`);

const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const child = spawn(node, [vitest, "run", ...args], { cwd: root, stdio: "inherit" });
// A terminal's Ctrl-C reaches vitest directly; a signal sent only to this process must be passed on.
process.on("SIGINT", () => {});
for (const signal of /** @type {const} */ (["SIGTERM", "SIGHUP"]))
  process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[/** @type {NodeJS.Signals} */ (signal)];
});
