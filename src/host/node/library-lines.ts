/**
 * What native libraries write to standard error by themselves. Dawn greets every process on some Vulkan drivers with warnings
 * that its user can do nothing about, and offers no way to switch them off. They are kept back while an adapter is looked for;
 * every other line goes through, in order, also those of a driver that ends the process.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { env } from "../../support/env.ts";

/** Lines that are kept back, as regular expressions of awk, each with the lines on where in Dawn it was written and the empty one behind. */
const HARMLESS = [
  // Limits of bindings with dynamic offsets, which no pipeline here has.
  "^Warning: maxDynamic(Uniform|Storage)BuffersPerPipelineLayout artificially reduced ",
  // A Vulkan loader without a driver: the missing adapter is told in our own words.
  "^Warning: vkCreateInstance: Found no drivers!$",
  "^Warning: vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER$",
];
const FILTER = `/${HARMLESS.join("|")}/ { kept = 1; next } kept && /^(    at .*)?$/ { next } { kept = 0; print }`;

/** Milliseconds to wait for the last lines to come through. Only their place among later ones depends on it. */
const LAST_LINES_MS = 1000;

let redirected = false;

/**
 * Runs `work` with the harmless lines kept back. With DEBUG, without awk, without koffi (an optional package), or on a system
 * that is not Linux, nothing is kept back.
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

/** Sends what is written to standard error through the filter; returns how to end that, or null where it cannot be done. */
async function redirect(): Promise<(() => Promise<void>) | null> {
  const calls = await systemCalls();
  const pipe = calls?.pipe();
  if (!calls || !pipe) return null;
  // Whether it is a terminal is looked at once: now.
  void process.stderr;
  // A process of its own: it has the lines also when this one is ended by a driver. A session of its own: Ctrl-C is not for it.
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

/** A program that was started meanwhile may write to the filter for as long as it likes: that is not waited for. */
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
  /** A second descriptor of the same open file, or −1. */
  duplicate(descriptor: number): number;
  /** Makes `descriptor` another one of the open file that `by` is of, at once for all threads. */
  replace(descriptor: number, by: number): void;
}

/** Flags of Linux, from its fcntl.h: descriptors that programs started from here do not inherit. */
const O_CLOEXEC = 0o2000000;
const F_DUPFD_CLOEXEC = 1030;

/** Node can close a descriptor and open another, but not duplicate one. */
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
    return null; // not installed, or not for this processor
  }
}
