// Small runs in separate folders, in this process.

import type { Gpu } from "../../src/gpu/gpu.ts";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import type { ExecuteOptions } from "../../src/run/execute.ts";
import { METRIC_COLUMNS } from "../../src/run/metric-lines.ts";
import { type PreparedRun, prepareRun } from "../../src/run/prepare.ts";
import { resumeRun } from "../../src/run/resume.ts";
import { runInFolder } from "../../src/run/run-in-folder.ts";
import type { RunSpecInput } from "../../src/run/run-spec.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { RunFolder } from "../../src/storage/run-folder.ts";

export const SPEC: RunSpecInput = {
  dataset: "synthetic:1x7x7:4:150:40",
  width: 24,
  hidden: 2,
  batchSize: 50,
  ghostSize: 10,
  maxSteps: 300,
  epochs: 1000,
  evaluateEvery: 3,
};

export const checkpoints = { every: { steps: 4 }, keep: 2 };
export const environment = { command: "test", git: null, versions: {}, adapter: { name: "test" } };

export interface StartedRun {
  readonly path: string;
  readonly prepared: PreparedRun;
  readonly done: ReturnType<typeof runInFolder>;
}

export class FolderRuns {
  readonly runsDirectory: string;
  readonly session = new GpuSession();
  /** Messages of the runs since the last start, without notes: what `tune` could measure depends on the machine. */
  readonly lines: string[] = [];

  constructor(runsDirectory: string) {
    this.runsDirectory = runsDirectory;
  }

  readonly report = (line: string): void => {
    if (!line.startsWith("note: ")) this.lines.push(line);
  };

  /** Starts a run in a new folder. */
  async start(
    name: string,
    given: RunSpecInput = {},
    options: ExecuteOptions = {},
    session = this.session,
  ): Promise<StartedRun> {
    return this.startPrepared(name, await prepareRun(completeSpec({ ...SPEC, ...given })), options, session);
  }

  /** The same for a prepared run, whose data a test may have changed. */
  async startPrepared(
    name: string,
    prepared: PreparedRun,
    options: ExecuteOptions = {},
    session = this.session,
  ): Promise<StartedRun> {
    const { runsDirectory, report } = this;
    this.lines.length = 0;
    const configuration = prepared.spec;
    const folder = await RunFolder.claim({
      runsDirectory,
      name,
      configuration,
      environment,
      columns: METRIC_COLUMNS,
    });
    const done = runInFolder(session, prepared, folder, { checkpoints, logEvery: 2, report, ...options });
    done.catch(() => undefined);
    return { path: folder.path, prepared, done };
  }

  async goOn({ path, prepared }: Pick<StartedRun, "path" | "prepared">, options: ExecuteOptions = {}) {
    const { session, report } = this;
    const { folder, from } = await resumeRun(path, prepared, { environment, report });
    return runInFolder(session, prepared, folder, { checkpoints, logEvery: 2, report, ...options }, from);
  }
}

/** Loses the device at the first progress after each of these steps. */
export function losing(steps: number[]): {
  session: GpuSession;
  onProgress: NonNullable<ExecuteOptions["onProgress"]>;
} {
  let gpu: Gpu;
  const onOpen = (opened: Gpu) => {
    gpu = opened;
  };
  const onProgress = ({ step }: { step: number }) => {
    if (steps.length === 0 || step < steps[0]!) return;
    steps.shift();
    gpu.device.destroy();
  };
  return { session: new GpuSession({ onOpen }), onProgress };
}
