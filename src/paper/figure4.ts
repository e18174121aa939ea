/** Figure 4 of Hoffer et al. 2017 (appendix B): random directions from the initial weights, at three ranges. */

import type { LoadOptions } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { measuredGhostSize, pointAfter } from "../measure/point.ts";
import { GradientProbe } from "../measure/probe.ts";
import { type DirectionMeasurement, measureDirections } from "../measure/random-directions.ts";
import { dataFactsOf, forwardFlopsOf } from "../run/cost.ts";
import type { MessageSink } from "../support/messages.ts";
import { cellSpec } from "./columns.ts";
import type { FigureChoice } from "./figures.ts";

/** The largest distance in each panel. The paper's figure goes to about 10, the range of Figure 2. */
export const RANGES = { short: 0.1, medium: 1, long: 10 } as const;

/** Training images for the loss: 5,000 of the 50,000 change the spread by a few per cent and cost a tenth. */
const SAMPLES = { small: 1024, full: 5120 };

export interface Figure4Options {
  readonly directions: number;
  readonly load: LoadOptions;
  readonly onProgress?: MessageSink;
}

/** Samples per batch of the loss: whole ghosts. */
function batchOf({ scale }: FigureChoice, ghostSize: number, images: number): number {
  const wanted = Math.min(scale === "small" ? SAMPLES.small : SAMPLES.full, images);
  return wanted - (wanted % ghostSize);
}

/** Cost of the measurement: number of losses, images in each, operations of all. */
export async function figure4Cost(
  gpu: Gpu,
  choice: FigureChoice,
  { directions, load }: Pick<Figure4Options, "directions" | "load">,
): Promise<{ readonly losses: number; readonly samples: number; readonly flops: number }> {
  const { row, scale, seed, images } = choice;
  const spec = cellSpec(row, { column: "SB", scale, seed, images });
  const { count } = await dataFactsOf(spec, load);
  const samples = batchOf(choice, measuredGhostSize(spec), count);
  const losses = directions * Object.keys(RANGES).length;
  return { losses, samples, flops: losses * samples * (await forwardFlopsOf(gpu, spec, load)) };
}

export async function measureFigure4(
  gpu: Gpu,
  choice: FigureChoice,
  { directions, load, onProgress }: Figure4Options,
): Promise<{ measurements: DirectionMeasurement[]; notes: string[] }> {
  const { row, scale, seed, images } = choice;
  const spec = cellSpec(row, { column: "SB", scale, seed, images });
  return gpu.lifetime(async () => {
    const { state, data, ghostSize } = await pointAfter(gpu, spec, 0, load);
    const batchSize = batchOf(choice, ghostSize, data.train.count);
    const probe = await GradientProbe.create(state, data, {
      batchSize,
      ghostSize,
      memoryBytes: spec.memory * 2 ** 20,
    });
    const samples = Uint32Array.from({ length: batchSize }, (_, i) => i);
    const measurements: DirectionMeasurement[] = [];
    for (const [name, range] of Object.entries(RANGES)) {
      const progress = (done: number) => {
        if (done % 50 === 0) onProgress?.(`figure4 ${name} range: ${done} of ${directions} directions`);
      };
      measurements.push(
        await measureDirections(state, probe, samples, { kind: "unit", range, directions, seed }, progress),
      );
    }
    const notes = [
      `loss on the same ${batchSize} training images at every point, in ghosts of ${ghostSize}, each normalized with its own statistics`,
      `${directions} directions of norm 1 per range`,
    ];
    return { measurements, notes };
  });
}
