import { homedir } from "node:os";
import { join } from "node:path";
import { env } from "../support/env.ts";

/** What may be made again at any time is kept here: GHOSTBATCH_CACHE, or ghostbatch in the user's folder of caches. */
export function cacheDirectory(): string {
  return env.cache() || join(env.xdgCache() || join(homedir(), ".cache"), "ghostbatch");
}
