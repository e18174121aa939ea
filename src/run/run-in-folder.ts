/** Executes a run in its folder, and recovers once from a lost device. */
import type { GpuSession } from "../host/node/gpu-session.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import { DeviceError, DeviceLostError } from "../support/errors.ts";
import { type ExecuteOptions, executeRun } from "./execute.ts";
import type { MetricColumn } from "./metric-lines.ts";
import type { PreparedRun } from "./prepare.ts";
import { ONE_RANK } from "./ranks.ts";
import { loadCheckpoint, type RunCheckpoint } from "./run-checkpoint.ts";
import { RunControl } from "./run-control.ts";
import type { RunSummary } from "./run-summary.ts";

/** Lost devices after which the run gives up: a driver that resets twice will do so again. */
const LOSSES = 1;

/**
 * Executes a run in a folder that this process has claimed, and closes the folder. If the device is lost, it continues
 * once from the last checkpoint on a new one.
 * @param from the checkpoint to start from; null for the beginning
 * @throws as executeRun; DeviceError if the device is lost again
 */
export async function runInFolder(
  session: GpuSession,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  options: ExecuteOptions = {},
  from: RunCheckpoint | null = null,
): Promise<RunSummary> {
  const { report = console.error, control = new RunControl() } = options;
  let checkpoint = from;
  try {
    for (let losses = 0; ; losses++) {
      const gpu = await session.open();
      try {
        return await gpu.lifetime(() => executeRun(gpu, prepared, folder, options, checkpoint));
      } catch (error) {
        // The other ranks cannot repeat steps.
        if (!(error instanceof DeviceLostError) || (options.ranks ?? ONE_RANK).communicator.size > 1)
          throw error;
        session.forget();
        if (losses === LOSSES)
          throw new DeviceError(
            `${error.message}; this was the second time, so the run stops; continue with: ${control.resumeCommand(folder.path)}`,
            { cause: error },
          );
        checkpoint = await loadCheckpoint(folder.path, prepared.spec, { report });
        const where = checkpoint ? `the checkpoint of step ${checkpoint.content.position.step}` : "the start";
        report(`${error.message}; continuing from ${where} on a new device`);
      }
    }
  } finally {
    await folder.close();
  }
}
