// A plain file server like those of static sites: a folder in the address, and no headers except the content type.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { onTestFinished } from "vitest";
import type { SiteFiles } from "../../src/cli/page-files.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
};

/** Serves a site below `prefix`, e.g. "/a/b/", until the test is over. @returns its address, with the prefix */
export async function staticSite(files: SiteFiles, prefix: string): Promise<string> {
  const server = createServer((request, response) => {
    const path = request.url!.startsWith(prefix) ? request.url!.slice(prefix.length) || "index.html" : "";
    const content = files.get(path);
    if (content === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
    response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`;
}
