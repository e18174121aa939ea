import { homedir } from "node:os";
import { join } from "node:path";
import { env } from "../support/env.ts";

/** The folder for data that can be recreated at any time: GHOSTBATCH_CACHE, or ghostbatch in the user's cache folder. */
export function cacheDirectory(): string {
  return env.cache() || join(env.xdgCache() || join(homedir(), ".cache"), "ghostbatch");
}
