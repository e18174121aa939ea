// lib/conv2d-matrix-results: writes the sums of conv2d/forward-matrix from workgroup memory to y. With MOMENTS it also computes, on the way,
// mean and Σ (y − mean)² of each channel over a tile's part of each of its images.

// Four neighbouring outputs of a row, in the round of sums (i, j): their place in scratch, channel within the tile, image, row and first
// column within the lattice's tile; nothing if the row is not below ROWS.
struct Piece { at: u32, channel: u32, image: u32, row: u32, column: u32 }

fn find_piece(thread: u32, t: u32, i: u32, j: u32, it: ptr<function, Piece>) {
  let item = thread + t * THREADS;
  let owner = min(item / (M * QUADS_N), SUBGROUPS - 1u);
  let m = item / QUADS_N % M;
  let image = item % QUADS_N % IMAGES;
  let column = item % QUADS_N / IMAGES * 4u;
  let block = owner / SUBGROUPS_M * BLOCKS_N + j;
  *it = Piece(
    owner * M * N + m * N + column * IMAGES + image,
    (owner % SUBGROUPS_M * BLOCKS_M + i) * M + m,
    image,
    select(ROWS, block / BLOCKS_OF_ROW, item < SUBGROUPS * M * QUADS_N),
    block % BLOCKS_OF_ROW * (N / IMAGES) + column,
  );
}

// From scratch to y, and to where MOMENTS reads them.
fn write(corner: Corner, rows: Lattice, columns: Lattice, it: Piece, place: u32, values: ptr<function, Values>) {
  let k = corner.channel + it.channel;
  let image = corner.image + it.image;
  let row = corner.row + it.row;
  if (it.row >= ROWS || k >= K || image >= params.images || row >= rows.count) { return; }
  let at = ((image * K + k) * P + rows.first + row * Y_STEP) * Q + columns.first + it.column * Y_STEP;
  var four = vec4f();
  for (var v = 0u; v < 4u; v++) {
    if (it.column + v < columns.count) {
      let value = scratch[it.at + v * IMAGES];
      four[v] = value;
      if (ACCUMULATE) { y[at + v * Y_STEP] = StoredY(value + f32(y[at + v * Y_STEP])); } else { y[at + v * Y_STEP] = StoredY(value); }
    }
  }
  (*values)[place] = four;
}

// Two passes over the sums that threads hold: means, then Σ (y − mean) and its squares. Σ (y − mean) corrects for the rounding of the mean.
fn write_moments(corner: Corner, thread: u32, tile: u32, rows: u32, columns: u32, values: ptr<function, Values>) {
  let pixels = f32(min(ROWS, rows - corner.row) * columns);
  for (var round = 0u; round < 2u; round++) {
    for (var i = 0u; i < BLOCKS_M; i++) {
      for (var t = 0u; t < PIECES; t++) {
        let item = thread + t * THREADS;
        var share = vec2f();
        for (var j = 0u; j < BLOCKS_N; j++) {
          var it = Piece();
          find_piece(thread, t, i, j, &it);
          let mean = select(0.0, means[it.image * TILE_K + it.channel], round > 0u);
          for (var v = 0u; v < 4u; v++) {
            let exists = it.row < ROWS && corner.row + it.row < rows && it.column + v < columns;
            let difference = select(0.0, (*values)[(i * BLOCKS_N + j) * PIECES + t][v] - mean, exists);
            share += vec2f(difference, difference * difference);
          }
        }
        if (item < SUBGROUPS * M * QUADS_N) {
          scratch[2u * (i * SUBGROUPS * M * QUADS_N + item)] = share.x;
          scratch[2u * (i * SUBGROUPS * M * QUADS_N + item) + 1u] = share.y;
        }
      }
    }
    workgroupBarrier();
    for (var item = thread; item < TILE_K * IMAGES; item += THREADS) {
      var total = vec2f();
      add_shares(item % TILE_K, item / TILE_K, &total);
      let k = corner.channel + item % TILE_K;
      let image = corner.image + item / TILE_K;
      if (round == 0u) {
        means[item] = total.x / pixels;
      } else if (k < K && image < params.images) {
        let at = 2u * ((image * params.tiles + tile) * K + k);
        moments[at] = means[item] + total.x / pixels;
        moments[at + 1u] = total.y - total.x * total.x / pixels;
      }
    }
    workgroupBarrier();
  }
}

// Adds up the threads' shares of a channel and image, in order.
fn add_shares(channel: u32, image: u32, total: ptr<function, vec2f>) {
  let i = channel / M % BLOCKS_M;
  for (var n = 0u; n < SUBGROUPS_N; n++) {
    let owner = n * SUBGROUPS_M + channel / (M * BLOCKS_M);
    for (var quad = image; quad < QUADS_N; quad += IMAGES) {
      let at = 2u * (((i * SUBGROUPS + owner) * M + channel % M) * QUADS_N + quad);
      *total += vec2f(scratch[at], scratch[at + 1u]);
    }
  }
}
