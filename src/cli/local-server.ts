/**
 * A server for pages on this machine. It answers only GET, only to a Host that is its own, and only to its own Origin, so
 * other pages in the same browser cannot read it, nor can a foreign name that resolves to this machine.
 */
import { hostname as machineName, networkInterfaces } from "node:os";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { UsageError } from "../support/errors.ts";

export interface ServerPlace {
  /** Address to listen on; loopback by default. */
  readonly host: string;
  /** 0 selects a free port. */
  readonly port: number;
}

export interface LocalServer {
  readonly url: string;
  /** All addresses at which the page can be opened; the first is `url`. */
  readonly urls: readonly string[];
  close(): Promise<void>;
}

/** The largest TCP port. */
const LAST_PORT = 65_535;

/**
 * Serves an app.
 * @param verb of the command line, for messages
 * @param policy Content-Security-Policy of every answer
 * @param addRoutes adds the app's routes
 * @throws UsageError if the port or the address is not available
 */
export async function startLocalServer(
  verb: string,
  { host, port }: ServerPlace,
  { policy, addRoutes }: { policy: string; addRoutes: (app: Hono) => void },
): Promise<LocalServer> {
  if (port > LAST_PORT)
    throw new UsageError(`${verb}: --port ${port}: expected 0 to ${LAST_PORT}, 0 for any free port`);
  const app = new Hono();
  let names: ReadonlySet<string> = new Set();
  app.use("*", async (context, next) => {
    if (context.req.method !== "GET") return context.text("only GET", 405);
    if (!names.has(context.req.header("host")?.toLowerCase() ?? "")) return context.text("unknown host", 403);
    const origin = context.req.header("origin")?.toLowerCase();
    if (origin !== undefined && !names.has(origin.replace(/^http:\/\//, "")))
      return context.text("unknown origin", 403);
    await next();
    context.header("Content-Security-Policy", policy);
    context.header("X-Content-Type-Options", "nosniff");
    context.header("Cache-Control", "no-store");
  });
  addRoutes(app);
  const { server, address } = await listen(verb, app, { host, port });
  const urls = namesOf(host).map((name) => `http://${name.includes(":") ? `[${name}]` : name}:${address}/`);
  names = new Set(urls.map((url) => new URL(url).host));
  return {
    url: urls[0]!,
    urls,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        if ("closeAllConnections" in server) server.closeAllConnections();
      }),
  };
}

/** Waits for Ctrl-C or SIGTERM. */
export function untilInterrupted(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
}

/** Wildcard addresses, which stand for all of this machine's. */
const WILDCARDS = ["0.0.0.0", "::"];

/**
 * Names by which a browser may address the server: the address itself, and localhost for loopback; for a wildcard, all
 * addresses of this machine. Never a foreign name, which another site could have made resolve to this machine.
 */
export function namesOf(host: string): string[] {
  if (isLoopback(host)) return [...new Set([host, "localhost"])];
  if (!WILDCARDS.includes(host)) return [host];
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  // A link-local address needs the name of an interface, which a Host header does not carry.
  const reachable = own.filter(({ family, scopeid }) => family === "IPv4" || (host === "::" && !scopeid));
  const names = ["localhost", ...reachable.map(({ address }) => address), machineName().toLowerCase()];
  return [...new Set([...names, host])];
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function listen(verb: string, app: Hono, { host, port }: ServerPlace) {
  return new Promise<{ server: ReturnType<typeof serve>; address: number }>((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname: host, port }, ({ port: address }) =>
      resolve({ server, address }),
    );
    server.on("error", (cause: NodeJS.ErrnoException) => {
      const reason =
        cause.code === "EADDRINUSE"
          ? "is in use: choose another --port, or 0 for any free port"
          : `cannot listen: ${cause.message}`;
      reject(new UsageError(`${verb}: ${host} port ${port} ${reason}`, { cause }));
    });
  });
}
