// Finds the adapter that WebGPU gives a program on this machine. It asks in a separate process, because a broken driver
// can crash the process that asks.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const SELF = fileURLToPath(import.meta.url);
// A driver that takes longer to answer is of no use.
const TIMEOUT_MS = 60_000;

/**
 * @typedef {object} Adapter
 * @property {string} name
 * @property {boolean} software computes on the CPU
 */

/**
 * Asks for the adapter that a program started by `command` gets.
 *
 * @param {string[]} [command] node, or a program that starts it
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<{ adapter: Adapter | null, said: string }>} `said` is the drivers' output
 */
export function probeAdapter([program, ...args] = [process.execPath], env = process.env) {
  return new Promise((resolve) => {
    execFile(program, [...args, SELF], { env, timeout: TIMEOUT_MS }, (error, stdout, stderr) => {
      const said = stderr.trim() || error?.message || "";
      resolve({ adapter: error ? null : JSON.parse(stdout.trim().split("\n").at(-1) ?? "null"), said });
    });
  });
}

/** @returns {Promise<Adapter | null>} */
async function requestAdapter() {
  const { create } = await import("webgpu");
  const adapter = await create([]).requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const { architecture, description, device, vendor } = adapter.info;
  const names = `${vendor} ${architecture} ${device} ${description}`;
  // Dawn's Null backend accepts every command and computes nothing.
  if (/null[- ]backend/i.test(names)) return null;
  const software = architecture === "software" || /llvmpipe|swiftshader|basic render/i.test(names);
  return { name: description || device || names.trim(), software };
}

if (process.argv[1] === SELF) {
  console.log(JSON.stringify(await requestAdapter()));
}
