// lib/grid: position in a flat array when the grid of workgroups is folded into x and y,
// because one side of a grid holds at most 65,535 workgroups.

fn flat_index(workgroup: vec3u, count: vec3u, lane: u32, lanes: u32) -> u32 {
  return (workgroup.y * count.x + workgroup.x) * lanes + lane;
}
