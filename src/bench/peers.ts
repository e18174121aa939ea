/**
 * `bench peers`: compares this engine with TensorFlow.js and jax-js on the same adapter, in rounds: engines run a case in turns
 * for a while each, so that disturbances affect all of them.
 */
import { type ChildProcess, execFileSync, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Gpu } from "../gpu/gpu.ts";
import { DataError, DeviceError, GhostbatchError, messageOf } from "../support/errors.ts";
import { afterMilliseconds } from "../support/long-timeout.ts";
import { quantile } from "../support/statistics.ts";
import { type PeerCase, prepareOurs } from "./peer-cases.ts";
import { type Summary, summarize } from "./sample.ts";

/**
 * How long an engine runs in a round, at least once. Its first run finds another engine's data in the caches, unlike in
 * training, so the median of the round counts.
 */
const ROUND_MS = 150;

const FOLDER = fileURLToPath(new URL("../../bench/peers", import.meta.url));

export const ENGINES = { tfjs: "TensorFlow.js 4.22", jaxjs: "jax-js 0.1" } as const;
export type Engine = keyof typeof ENGINES;

export interface PeerResult {
  readonly case: PeerCase;
  readonly ours: Summary;
  /** Null if the engine failed or took too long; `failures` says why. */
  readonly peers: Readonly<Record<Engine, Summary | null>>;
  /** Time of the better peer, divided by ours. */
  readonly ratio: number | null;
  readonly failures: readonly string[];
}

export interface PeerOptions {
  readonly cases: readonly PeerCase[];
  /** Times of each engine and case. */
  readonly rounds: number;
  /** Time limit of one engine's compilation of a case, or of one run. */
  readonly limitSeconds: number;
  /** Part of the adapter's name, if there is a choice. */
  readonly adapter?: string | undefined;
}

/** Installs the other engines beside their scripts, unless installed. @throws DataError if that is impossible */
export function installPeers(onInstall: () => void): void {
  if (existsSync(`${FOLDER}/node_modules/@jax-js/jax`)) return;
  if (!existsSync(`${FOLDER}/package.json`)) {
    throw new DataError(
      `${FOLDER}: bench peers needs a checkout of the repository; the package does not contain it`,
    );
  }
  onInstall();
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const words = [existsSync(`${FOLDER}/package-lock.json`) ? "ci" : "install", "--no-audit", "--no-fund"];
  try {
    execFileSync(npm, words, { cwd: FOLDER, stdio: ["ignore", "ignore", "pipe"], encoding: "utf8" });
  } catch (cause) {
    throw new DataError(`${FOLDER}: npm ${words[0]} failed: ${messageOf(cause)}`, { cause });
  }
}

/** @param onPhase receives progress messages */
export async function* benchPeers(
  gpu: Gpu,
  { cases, rounds, limitSeconds, adapter }: PeerOptions,
  onPhase: (phase: string) => void,
): AsyncGenerator<PeerResult> {
  for (const one of cases) {
    // A process per case, so that what an engine keeps of one does not slow down the next.
    const engines = (Object.keys(ENGINES) as Engine[]).map(
      (engine) => new PeerProcess(engine, { expected: gpu.adapter.name, adapter, limitSeconds }),
    );
    try {
      yield await gpu.lifetime(() => comparison(gpu, one, engines, rounds, onPhase));
    } finally {
      for (const engine of engines) engine.end();
    }
  }
}

async function comparison(
  gpu: Gpu,
  one: PeerCase,
  engines: readonly PeerProcess[],
  rounds: number,
  onPhase: (phase: string) => void,
): Promise<PeerResult> {
  const failures: string[] = [];
  const times = new Map<PeerProcess, number[]>();
  for (const engine of engines) {
    onPhase(`${one.name}: ${ENGINES[engine.name]} compiles`);
    try {
      await engine.prepare(one);
      times.set(engine, []);
    } catch (error) {
      failures.push(`${ENGINES[engine.name]}: ${messageOf(error)}`);
    }
  }
  onPhase(`${one.name}: ghostbatch compiles`);
  const run = await prepareOurs(gpu, one);
  await run();
  await run();
  const ours: number[] = [];
  for (let round = 0; round < rounds; round++) {
    onPhase(`${one.name}: round ${round + 1} of ${rounds}`);
    ours.push(quantile(await timesOf(run), 0.5));
    for (const [engine, taken] of times) {
      try {
        taken.push(await engine.run());
      } catch (error) {
        failures.push(`${ENGINES[engine.name]}: ${messageOf(error)}`);
        times.delete(engine);
      }
    }
  }
  const summaryOf = (name: Engine) => {
    const found = [...times].find(([engine]) => engine.name === name);
    return found ? summarize(found[1]) : null;
  };
  const peers = { tfjs: summaryOf("tfjs"), jaxjs: summaryOf("jaxjs") };
  const medians = Object.values(peers).flatMap((summary) => (summary ? [summary.median] : []));
  const summary = summarize(ours);
  const ratio = medians.length === 0 ? null : Math.min(...medians) / summary.median;
  return { case: one, ours: summary, peers, ratio, failures };
}

async function timesOf(run: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  let left = ROUND_MS;
  do {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
    left -= times.at(-1)!;
  } while (left > 0);
  return times;
}

interface Reply {
  readonly adapter?: string;
  readonly prepared?: number;
  readonly times?: number[];
  readonly error?: string;
}

/** Another engine in its own process, because each needs navigator.gpu and the WebGPU globals for itself. */
class PeerProcess {
  readonly name: Engine;
  readonly #child: ChildProcess;
  readonly #limitSeconds: number;
  /** Name of the adapter on which it must run. */
  readonly #expected: string;
  #errors = "";
  #ready: Promise<Reply>;

  constructor(
    name: Engine,
    {
      expected,
      adapter = "",
      limitSeconds,
    }: { expected: string; adapter?: string | undefined; limitSeconds: number },
  ) {
    this.name = name;
    this.#expected = expected;
    this.#limitSeconds = limitSeconds;
    this.#child = fork(`${FOLDER}/${name}.mjs`, [], {
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...process.env, PEERS_ADAPTER: adapter },
    });
    this.#child.stderr?.on("data", (text) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    this.#ready = this.#reply();
    this.#ready.catch(() => undefined); // awaited when a case is prepared
  }

  /** Sets up a case and runs it twice, so that it is compiled and warm. @throws GhostbatchError if it fails or takes too long */
  async prepare(one: PeerCase): Promise<void> {
    const { adapter } = await this.#ready;
    if (adapter !== this.#expected) throw new DeviceError(`runs on ${adapter}, not on ${this.#expected}`);
    this.#child.send({ prepare: one });
    await this.#reply();
  }

  /** Runs the case for a round; ms of one run. */
  async run(): Promise<number> {
    this.#child.send({ forMs: ROUND_MS });
    return quantile((await this.#reply()).times!, 0.5);
  }

  end(): void {
    this.#child.kill("SIGKILL");
  }

  #reply(): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const done = (body: () => void) => {
        cancel();
        this.#child.off("message", onMessage);
        this.#child.off("exit", onExit);
        body();
      };
      const onMessage = (reply: Reply) =>
        done(() => (reply.error === undefined ? resolve(reply) : reject(new GhostbatchError(reply.error))));
      const onExit = () =>
        done(() => reject(new GhostbatchError(`ended: ${this.#errors.trim().split("\n").at(-1)}`)));
      const cancel = afterMilliseconds(1000 * this.#limitSeconds, () => {
        this.end();
        done(() => reject(new GhostbatchError(`no answer within ${this.#limitSeconds} s`)));
      });
      this.#child.on("message", onMessage);
      this.#child.on("exit", onExit);
    });
  }
}
