/** A run in its folder, on a device that may be lost once. */
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

/** Devices that may be lost before the run gives up: a driver that resets twice does so again. */
const LOSSES = 1;

/**
 * Executes a run in a folder that this process has claimed, and closes the folder. When the device is lost, it goes on
 * from the last checkpoint on a new one, once.
 * @param from the checkpoint to begin at; null begins at the start
 * @throws as executeRun; DeviceError when the device is lost again
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
        // The other ranks cannot do steps over again.
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
