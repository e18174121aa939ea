import { join } from "node:path";
import { z } from "zod";
import type { LoadOptions } from "../datasets/load.ts";
import { readJson } from "../storage/run-folder.ts";

const Start = z.object({ workingDirectory: z.string().optional(), dataDirectory: z.string().optional() });
const Environment = Start.extend({ resumed: z.array(Start).default([]) });

/**
 * Where the data of an earlier run are, according to its record: the data folder named last, and the folder in which the
 * run was started. Empty if the record lacks them or is damaged; taking over the run reports that.
 * @param path the run folder
 */
export async function dataPlaceOf(path: string): Promise<Pick<LoadOptions, "dataDir" | "baseDirectory">> {
  const record = Environment.safeParse(await readJson(join(path, "environment.json")).catch(() => null));
  if (!record.success) return {};
  const { resumed, ...first } = record.data;
  const named = [first, ...resumed].findLast(({ dataDirectory }) => dataDirectory !== undefined);
  return { dataDir: named?.dataDirectory, baseDirectory: first.workingDirectory };
}
