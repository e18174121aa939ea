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

/** @throws UsageError when the port or the address cannot be had */
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

/** What index.html of every build says. */
const MARK = '<meta name="generator" content="ghostbatch playground">';

/**
 * Writes a site into a folder that is new, empty, or holds an earlier build, which is replaced.
 * @throws UsageError for a folder of something else
 */
export async function writeSite(files: SiteFiles, folder: string): Promise<void> {
  try {
    requireReplaceable(folder);
    // Scripts carry their hash in their names: those of an earlier build would stay.
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
    `playground: --build ${folder}: expected a new or empty folder, or an earlier build; found other files: name another folder`,
  );
}
