// Which adapter WebGPU gives a program on this machine. The question is put in a process of its own: a broken
// driver can crash whoever asks.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const SELF = fileURLToPath(import.meta.url);
// A driver that does not answer by then will not be of use.
const TIMEOUT_MS = 60_000;

/**
 * @typedef {object} Adapter
 * @property {string} name
 * @property {boolean} software computes on the CPU
 */

/**
 * Asks for the adapter that a program started by `command` gets.
 *
 * @param {string[]} [command] node, or what starts it
 * @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<{ adapter: Adapter | null, said: string }>} `said` is what the drivers wrote
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
