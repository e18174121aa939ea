/**
 * Filters what native libraries write to standard error. With some Vulkan drivers Dawn prints warnings in every process
 * that users can do nothing about, and it has no way to disable them. They are dropped while an adapter is requested;
 * all other lines pass in order, including those of a driver that ends the process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { env } from "../../support/env.ts";

/** Lines to drop, as awk regular expressions, each with the lines after it about its place in Dawn and the empty line at the end. */
const HARMLESS = [
  // Limits of bindings with dynamic offsets, which no pipeline here uses.
  "^Warning: maxDynamic(Uniform|Storage)BuffersPerPipelineLayout artificially reduced ",
  // A Vulkan loader without a driver: we report the missing adapter ourselves.
  "^Warning: vkCreateInstance: Found no drivers!$",
  "^Warning: vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER$",
];
const FILTER = `/${HARMLESS.join("|")}/ { kept = 1; next } kept && /^(    at .*)?$/ { next } { kept = 0; print }`;

/** Milliseconds to wait for the last lines. Only their order relative to later ones depends on it. */
const LAST_LINES_MS = 1000;

let redirected = false;

/**
 * Runs `work` and drops the harmless lines. With DEBUG, without awk, without koffi (an optional package), or on a system
 * other than Linux, nothing is dropped.
 */
export async function withoutHarmlessLines<T>(work: () => Promise<T>): Promise<T> {
  const restore = redirected || env.debugLevel() > 0 ? null : await redirect();
  if (!restore) return work();
  redirected = true;
  try {
    return await work();
  } finally {
    redirected = false;
    await restore();
  }
}

/** Sends standard error through the filter. Returns a function that ends this, or null if it is impossible. */
async function redirect(): Promise<(() => Promise<void>) | null> {
  const calls = await systemCalls();
  const pipe = calls?.pipe();
  if (!calls || !pipe) return null;
  // Whether it is a terminal is checked only once, so it must be now.
  void process.stderr;
  // A separate process keeps the lines even if a driver ends this one. In a separate session, Ctrl-C does not reach it.
  const filter = spawn("awk", [FILTER], { stdio: [pipe.read, 2, 2], detached: true });
  filter.on("error", () => undefined);
  closeSync(pipe.read);
  const original = filter.pid === undefined ? -1 : calls.duplicate(2);
  if (original < 0) {
    closeSync(pipe.write);
    return null;
  }
  calls.replace(2, pipe.write);
  closeSync(pipe.write);
  return async () => {
    calls.replace(2, original);
    closeSync(original);
    await ended(filter);
  };
}

/** Does not wait for programs started in the meantime, which may write to the filter indefinitely. */
function ended(filter: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, LAST_LINES_MS);
    filter.once("exit", done);
    if (filter.exitCode !== null || filter.signalCode !== null) done();
    function done(): void {
      clearTimeout(timer);
      filter.unref();
      resolve();
    }
  });
}

interface SystemCalls {
  pipe(): { read: number; write: number } | null;
  /** Duplicates a descriptor; −1 on failure. */
  duplicate(descriptor: number): number;
  /** Makes `descriptor` refer to the same open file as `by`, atomically for all threads. */
  replace(descriptor: number, by: number): void;
}

/** Flags from Linux's fcntl.h: child processes do not inherit these descriptors. */
const O_CLOEXEC = 0o2000000;
const F_DUPFD_CLOEXEC = 1030;

/** Functions of the C library, because Node can open and close descriptors but not duplicate them. */
async function systemCalls(): Promise<SystemCalls | null> {
  if (process.platform !== "linux") return null;
  try {
    const { default: koffi } = await import("koffi");
    const libc = koffi.load(null);
    const pipe2 = libc.func("int pipe2(_Out_ int *ends, int flags)");
    const fcntl = libc.func("int fcntl(int descriptor, int command, ...)");
    const dup2 = libc.func("int dup2(int from, int to)");
    return {
      pipe() {
        const ends = [0, 0];
        const [read, write] = pipe2(ends, O_CLOEXEC) === 0 ? ends : [-1, -1];
        return read! < 0 ? null : { read: read!, write: write! };
      },
      duplicate: (descriptor) => fcntl(descriptor, F_DUPFD_CLOEXEC, "int", 3),
      replace: (descriptor, by) => void dup2(by, descriptor),
    };
  } catch {
    return null; // not installed, or not available for this processor
  }
}
