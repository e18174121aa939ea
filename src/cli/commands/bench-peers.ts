import { Command, Option } from "commander";
import { digits, jsonText, table } from "../../bench/output.ts";
import { PEER_CASES } from "../../bench/peer-cases.ts";
import { benchPeers, ENGINES, installPeers, type PeerResult } from "../../bench/peers.ts";
import { type Summary, summaryText } from "../../bench/sample.ts";
import { UsageError } from "../../support/errors.ts";
import {
  type BenchFlags,
  endPhases,
  openForBench,
  saveTable,
  sayPhase,
  withBenchOptions,
} from "../bench-options.ts";
import { wholeNumber } from "../options.ts";

interface PeerFlags extends BenchFlags {
  readonly cases?: string;
  readonly timeLimit: number;
}

export function benchPeersCommand(): Command {
  const command = new Command("peers")
    .description(
      `compare this engine with ${Object.values(ENGINES).join(" and ")} on the same adapter, in rounds`,
    )
    .addOption(new Option("--cases <text>", "only cases whose name contains this text, e.g. conv or F1"))
    .addOption(
      new Option("--time-limit <seconds>", "time limit for an engine to compile or run a case")
        .argParser(wholeNumber(1))
        .default(1200),
    );
  return withBenchOptions(command, 7).action(run);
}

async function run(flags: PeerFlags): Promise<void> {
  const { cases: text = "", n, timeLimit, adapter } = flags;
  const cases = PEER_CASES.filter(({ name }) => name.toLowerCase().includes(text.toLowerCase()));
  if (cases.length === 0)
    throw new UsageError(`--cases ${text}: there are ${PEER_CASES.map(({ name }) => name).join("; ")}`);
  const gpu = await openForBench(flags);
  installPeers(() => console.error("installing the other engines into bench/peers (npm)"));
  const results: PeerResult[] = [];
  for await (const result of benchPeers(
    gpu,
    { cases, rounds: n, limitSeconds: timeLimit, adapter },
    sayPhase,
  )) {
    endPhases();
    results.push(result);
    for (const failure of result.failures) console.error(`${result.case.name}: ${failure}`);
    if (!flags.json)
      console.log(
        `${result.case.name}: ${result.ratio === null ? "no peer" : `${digits(result.ratio)} times the better peer`}`,
      );
  }
  if (flags.json) console.log(jsonText(gpu.adapter, { cases: results.map(jsonOf) }));
  else console.log(`\n${peerTable(results)}`);
  await saveTable(gpu, flags, "bench peers", peerTable(results));
}

function peerTable(results: readonly PeerResult[]): string {
  const text = (summary: Summary | null) => (summary ? summaryText(summary) : "—");
  const head = ["work", "ghostbatch", ENGINES.tfjs, ENGINES.jaxjs, "ratio", "aim"];
  const cells = results.map(({ case: one, ours, peers, ratio }) => {
    const times = [ours, peers.tfjs, peers.jaxjs].map(text);
    return [one.name, ...times, ratio === null ? "—" : digits(ratio), `${one.target}`];
  });
  return table(head, cells);
}

function jsonOf({ case: one, ours, peers, ratio, failures }: PeerResult) {
  const median = (summary: Summary | null) => summary?.median ?? null;
  return {
    name: one.name,
    ours_ms: ours.median,
    tfjs_ms: median(peers.tfjs),
    jaxjs_ms: median(peers.jaxjs),
    ratio,
    target: one.target,
    spread: { ours, tfjs: peers.tfjs, jaxjs: peers.jaxjs },
    failures,
  };
}
