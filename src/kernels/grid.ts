/** Lanes in a workgroup of the one-lane-per-element kernels; their files' default. */
export const LANES = 64;

/** One side of a grid: WebGPU's default limit of workgroups per dimension. */
const SIDE = 65535;

/** The grid for `lanes` lanes in workgroups of `width`, folded into x and y (see shaders/lib/grid.wgsl). */
export function flatGrid(lanes: number, width = LANES): [number, number] {
  const workgroups = Math.max(1, Math.ceil(lanes / width));
  if (workgroups <= SIDE) return [workgroups, 1];
  const rows = Math.ceil(workgroups / SIDE);
  return [Math.ceil(workgroups / rows), rows];
}
