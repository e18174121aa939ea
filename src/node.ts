/**
 * The library's part for Node, imported from "ghostbatch/node": opening a GPU, reading data sets and run folders. What every host
 * has is in "ghostbatch".
 */

export { loadDataset } from "./datasets/load.ts";
export { type OpenGpuOptions, openGpu } from "./host/node/open-gpu.ts";
export { readSafetensors, writeSafetensors } from "./storage/safetensors.ts";
