// A server on the loopback address that serves one file and misbehaves on request.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface Behaviour {
  /**
   * Bytes of the body after which the connection is cut, once `received` has confirmed them; one for each request in order,
   * then whole bodies.
   */
  readonly cuts?: readonly number[];
  /** Whether it answers range requests with the range. */
  readonly ranges?: boolean;
  /** The most bytes in an answer to a range request. */
  readonly partBytes?: number;
  readonly etag?: string;
  /** Status codes, one for each request in order; then 200 or 206. */
  readonly statuses?: readonly number[];
  /** Sends this many bytes and then nothing more. */
  readonly stallsAfter?: number;
}

export interface FileServer {
  readonly url: string;
  /** The Range header of each request; null without one. */
  readonly requested: (string | null)[];
  /** Confirms that the client has received this many bytes of the file. */
  received(bytes: number): void;
  serve(content: Uint8Array, behaviour?: Behaviour): void;
}

export async function fileServer(first: Uint8Array, how: Behaviour = {}): Promise<FileServer> {
  let content = first;
  let behaviour = how;
  let since = 0;
  let held: { readonly upTo: number; cut(): void } | null = null;
  const requested: (string | null)[] = [];
  const server = createServer((request, response) => {
    const index = requested.length - since;
    requested.push(request.headers.range ?? null);
    const { cuts = [], ranges = true, partBytes, etag, statuses = [], stallsAfter } = behaviour;
    if (statuses[index]) return void response.writeHead(statuses[index]).end("no");
    const current = request.headers["if-range"] === undefined || request.headers["if-range"] === etag;
    const range = ranges && current ? /^bytes=(\d+)-$/.exec(request.headers.range ?? "") : null;
    const start = range ? Number(range[1]) : 0;
    const tag = etag === undefined ? {} : { etag };
    if (start >= content.length)
      return void response.writeHead(416, { "content-range": `bytes */${content.length}` }).end();
    const body = content.subarray(start, range && partBytes ? start + partBytes : undefined);
    const last = start + body.length - 1;
    const place = range ? { "content-range": `bytes ${start}-${last}/${content.length}` } : {};
    response.writeHead(range ? 206 : 200, { ...tag, ...place, "content-length": body.length });
    if (stallsAfter !== undefined) return void response.write(body.subarray(0, stallsAfter));
    const cut = cuts[index];
    if (cut === undefined || cut >= body.length) return void response.end(body);
    held = { upTo: start + cut, cut: () => response.destroy() };
    response.write(body.subarray(0, cut));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.tar.gz`,
    requested,
    received: (bytes) => {
      if (held === null || bytes < held.upTo) return;
      held.cut();
      held = null;
    },
    serve: (other, next = {}) => {
      content = other;
      behaviour = next;
      since = requested.length;
    },
  };
}
