// Downloads packages of an archive without installing them.
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./command.mjs";

/**
 * Downloads `packages` with all their dependencies, and those in `alone` without dependencies, using a separate apt
 * configuration: its own sources, an empty list of installed packages, no hooks. How to reach and trust the archive comes
 * from the machine's configuration.
 *
 * @param {{ packages: string[], alone: string[] }} what
 * @param {{ source: import("./apt-sources.mjs").Source, suite: string, components: string }} from
 * @param {string} work a folder to work in
 * @param {AbortSignal} signal
 * @returns {Promise<string[]>} the package files
 */
export async function downloadPackages({ packages, alone }, { source, suite, components }, work, signal) {
  const state = join(work, "apt");
  for (const path of ["lists/partial", "cache/archives/partial", "sources"])
    mkdirSync(join(state, path), { recursive: true });
  writeFileSync(join(state, "status"), "");
  const fields = {
    Types: "deb",
    URIs: source.uri,
    Suites: suite,
    Components: components,
    Architectures: "amd64",
  };
  const trust = { "Signed-By": source.options["signed-by"], Trusted: source.options.trusted };
  const paragraph = Object.entries({ ...fields, ...trust }).filter(([, value]) => value !== undefined);
  const text = paragraph.map(([name, value]) => `${name}: ${value}\n`).join("");
  writeFileSync(join(state, "sources", "software-gpu.sources"), text);

  const { stdout } = await run("apt-config", ["dump"]);
  const access = stdout.split("\n").filter((line) => line.startsWith("Acquire::"));
  const own = {
    "Dir::Etc::main": "/dev/null",
    "Dir::Etc::parts": "/dev/null",
    "Dir::Etc::sourcelist": "/dev/null",
    "Dir::Etc::sourceparts": join(state, "sources"),
    "Dir::Etc::preferences": "/dev/null",
    "Dir::Etc::preferencesparts": "/dev/null",
    "Dir::State": state,
    "Dir::State::status": join(state, "status"),
    "Dir::Cache": join(state, "cache"),
    "APT::Install-Recommends": "0",
    "APT::Sandbox::User": "",
    "Debug::NoLocking": "1",
    "Acquire::Languages": "none",
    // Mirrors inside an organisation may be older than the date until which a suite in development is valid.
    "Acquire::Check-Valid-Until": "0",
    "Acquire::Retries": "2",
    "Acquire::http::Timeout": "30",
  };
  const settings = Object.entries(own).map(([name, value]) => `${name} "${value}";`);
  writeFileSync(join(state, "apt.conf"), [...access, ...settings, ""].join("\n"));

  const options = { signal, env: { ...process.env, APT_CONFIG: join(state, "apt.conf"), LC_ALL: "C" } };
  await run("apt-get", ["--quiet=2", "--error-on=any", "update"], options);
  await run("apt-get", ["--quiet=2", "--yes", "--download-only", "install", ...packages], options);
  const archives = join(state, "cache", "archives");
  if (alone.length > 0)
    await run("apt-get", ["--quiet=2", "download", ...alone], { ...options, cwd: archives });
  return readdirSync(archives)
    .filter((name) => name.endsWith(".deb"))
    .map((name) => join(archives, name));
}
