/**
 * A server for pages of this machine. It answers GET alone, to a Host that it is known by and an Origin that is its own:
 * another page in the same browser cannot read it, nor can a name that was made to point here.
 */
import { hostname as machineName, networkInterfaces } from "node:os";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { UsageError } from "../support/errors.ts";

export interface ServerPlace {
  /** Address that is listened on; the loopback one unless asked otherwise by name. */
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface LocalServer {
  readonly url: string;
  /** Every address that the page can be opened at; the first is `url`. */
  readonly urls: readonly string[];
  close(): Promise<void>;
}

/** The largest TCP port. */
const LAST_PORT = 65_535;

/**
 * Serves an app.
 * @param verb of the command line, for messages
 * @param policy Content-Security-Policy of every answer
 * @param addRoutes adds what the app answers
 * @throws UsageError when the port or the address cannot be had
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

/** Addresses that stand for all of this machine's. */
const WILDCARDS = ["0.0.0.0", "::"];

/**
 * What a browser may call the address that is listened on: itself, and localhost where that is the loopback; of a wildcard, all
 * that this machine has. Never a name from elsewhere: a page of another site could have had it point here.
 */
export function namesOf(host: string): string[] {
  if (isLoopback(host)) return [...new Set([host, "localhost"])];
  if (!WILDCARDS.includes(host)) return [host];
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  // A link-local address needs the name of an interface behind it, which no Host header carries.
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
