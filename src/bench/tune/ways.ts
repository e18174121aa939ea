/** The launches that `ghostbatch tune` compares: one for each way of each question, as in the step. */
import type { Command } from "../../gpu/command.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { listCommands } from "../../gpu/recording.ts";
import { Tuning } from "../../gpu/tuning.ts";
import { launchSumRows } from "../../kernels/sum-rows.ts";
import { empty } from "../../tensor/tensor.ts";
import { captureCommands } from "../capture.ts";
import type { Asked } from "./sides.ts";

/** For each question and way, its first launch in the step. */
export function waysOf(
  gpu: Gpu,
  body: () => void,
  questions: readonly Asked[],
): Map<string, (readonly Command[])[]> {
  const launches = new Map<string, (readonly Command[])[]>();
  for (const base of new Set(questions.map((question) => question.base))) {
    const together = questions.filter((question) => question.base === base);
    const most = Math.max(0, ...together.map(({ ways }) => ways.length));
    for (let index = 0; index < most; index++) {
      const chosen = together.flatMap(({ key, ways }) => (ways[index] ? [[key, ways[index]] as const] : []));
      gpu.tuning = new Tuning({ ...base, ...Object.fromEntries(chosen) });
      const commands = listCommands(gpu, body);
      for (const { key, ways, results } of together) {
        if (!ways[index]) continue;
        const launch = withSums(gpu, launchOf(commands, key), results);
        launches.set(key, [...(launches.get(key) ?? []), launch]);
      }
    }
  }
  return launches;
}

/** A launch is one dispatch, or several consecutive ones of different kernels with the same choice. */
function launchOf(commands: readonly Command[], key: string): readonly Command[] {
  const first = commands.findIndex(({ launch }) => launch.choice === key);
  const launch = [commands[first]!];
  for (const command of commands.slice(first + 1)) {
    if (command.launch.choice !== key || launch.some(({ kernel }) => kernel.file === command.kernel.file))
      break;
    launch.push(command);
  }
  return launch;
}

/**
 * A launch together with the dispatch that adds up its partial sums. In a step one dispatch does that for all layers, but it takes longer
 * the more partial sums there are.
 */
function withSums(gpu: Gpu, launch: readonly Command[], results: number): readonly Command[] {
  const last = launch.at(-1)!;
  const output = gpu.pipelines.shader(last.kernel).bindings.find(({ kind }) => kind === "read_write")!;
  const partials = last.launch.buffers[output.name]!;
  const rows = partials.byteLength / 4 / results;
  if (rows < 2 || !Number.isInteger(rows)) return launch;
  const sum = () => launchSumRows({ x: empty(gpu, [rows, results]), y: empty(gpu, [results]) });
  const [command] = gpu.planOnly(() => captureCommands(gpu, gpu.variant, sum)).result;
  const { kernel, launch: added } = command!;
  return [...launch, { kernel, launch: { ...added, buffers: { ...added.buffers, x: partials } } }];
}
