/** Serves the playground's files, and writes them as a static site. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileError } from "../storage/file-error.ts";
import { makeFolder } from "../storage/folder.ts";
import { UsageError } from "../support/errors.ts";
import { type LocalServer, type ServerPlace, startLocalServer } from "./local-server.ts";
import { contentType, type SiteFiles } from "./page-files.ts";

const POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:";

/** @throws UsageError if the port or the address is not available */
export function startPlayground(files: SiteFiles, place: ServerPlace): Promise<LocalServer> {
  return startLocalServer("playground", place, {
    policy: POLICY,
    addRoutes: (app) => {
      for (const [path, content] of files) {
        app.get(path === "index.html" ? "/" : `/${path}`, (context) =>
          context.body(content, 200, { "Content-Type": contentType(path) }),
        );
      }
    },
  });
}

/** A text in index.html of every build. */
const MARK = '<meta name="generator" content="ghostbatch playground">';

/**
 * Writes a site to a folder that is new, empty, or has an earlier build, which is replaced.
 * @throws UsageError for a folder with other files
 */
export async function writeSite(files: SiteFiles, folder: string): Promise<void> {
  try {
    requireReplaceable(folder);
    // Scripts have a hash in their names, so those of an earlier build would remain.
    await rm(join(folder, "assets"), { recursive: true, force: true });
    for (const [path, content] of files) {
      await makeFolder(dirname(join(folder, path)));
      await writeFile(join(folder, path), content);
    }
  } catch (cause) {
    throw fileError(cause, "write", folder);
  }
}

function requireReplaceable(folder: string): void {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return;
  const page = join(folder, "index.html");
  if (existsSync(page) && readFileSync(page, "utf8").includes(MARK)) return;
  throw new UsageError(
    `playground: --build ${folder}: expected a new or empty folder, or an earlier build; found other files; name another folder`,
  );
}
