// lib/grid: position in a flat array of a lane. The grid of workgroups is folded into the dimensions x and y,
// because one side of a grid has at most 65,535 workgroups.

fn flat_index(workgroup: vec3u, count: vec3u, lane: u32, lanes: u32) -> u32 {
  return (workgroup.y * count.x + workgroup.x) * lanes + lane;
}
