// Writes to standard error what Dawn and a driver write during the search for an adapter, with other lines among them. With the
// argument `crash` it then ends as if a driver had crashed.
import { writeSync } from "node:fs";
import { withoutHarmlessLines } from "../../src/host/node/library-lines.ts";

console.log("standard output, before");
console.error("own line, before");
await withoutHarmlessLines(async () => {
  // Like a library, without Node's streams.
  writeSync(
    2,
    `Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 500000 to 16 to fit dynamic offset allocation limit.
Warning: maxDynamicStorageBuffersPerPipelineLayout artificially reduced from 500000 to 16 to fit dynamic offset allocation limit.
Warning: vkCreateInstance failed with VK_ERROR_INCOMPATIBLE_DRIVER
    at CheckVkSuccessImpl (/some/where/dawn/src/dawn/native/vulkan/VulkanError.cpp:106)

Warning: vkCreateDevice failed with VK_ERROR_INITIALIZATION_FAILED
    at CheckVkSuccessImpl (/some/where/dawn/src/dawn/native/vulkan/VulkanError.cpp:106)

a driver: Warning: maxDynamic is not at the beginning of this line
`,
  );
  console.error("own line, meanwhile");
  console.log("standard output, meanwhile");
  if (process.argv[2] === "crash") process.kill(process.pid, "SIGSEGV");
});
console.error("own line, after");
console.log("standard output, after");
