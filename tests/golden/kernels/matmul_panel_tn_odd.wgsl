// matmul: 18 x 21, sums of 37, layout tn, tile 16 x 32, 64 deep
//   a: f32[18, 37] = transpose[perm=(1, 0)] x
//   result: f32[18, 21] = dot[spec='mk,kn->mn'] a cotangent
// moves 7.28 kB, computes 28 kflop
// from golden/programs.py:147
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn load_a(row: u32, k: u32) -> f32 {
  let x_0 = x[min(k, 36u) * 18u + row];
  return select(0.0, x_0, k < 37u);
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  let i0 = min(k, 36u);
  let i1 = col4 * 4u;
  let cotangent_0 = vec4<f32>(cotangent[i0 * 21u + min(i1, 20u)],
      cotangent[i0 * 21u + min(i1 + 1u, 20u)], cotangent[i0 * 21u + min(i1 + 2u, 20u)],
      cotangent[i0 * 21u + min(i1 + 3u, 20u)]);
  return select(vec4<f32>(0.0), cotangent_0, k < 37u);
}

fn store_one(row: u32, col: u32, acc: f32) {
  if (col < 21u) {
    result[row * 21u + col] = acc;
  }
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  store_one(row, col, acc.x);
  store_one(row, col + 1u, acc.y);
  store_one(row, col + 2u, acc.z);
  store_one(row, col + 3u, acc.w);
}

// A subgroup computes 16 x 32 of out. Each lane keeps its columns of B, 64 deep, in panels of its
// own; the lanes fetch one row of A after the other together and hand it round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row0 = tile.y * 16u;
  let col = tile.x * 32u + lane * 4u;
  var panel0: array<vec4<f32>, 64>;
  for (var i = 0u; i < 64u; i++) {
    panel0[i] = load_b(i, col);
  }
  for (var i = 0u; i < min(16u, 18u - row0); i++) {
    let row = row0 + i;
    let a0 = load_a(row, lane);
    let a1 = load_a(row, 8u + lane);
    let a2 = load_a(row, 16u + lane);
    let a3 = load_a(row, 24u + lane);
    let a4 = load_a(row, 32u + lane);
    let a5 = load_a(row, 40u + lane);
    let a6 = load_a(row, 48u + lane);
    let a7 = load_a(row, 56u + lane);
    var s0 = vec4<f32>();
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 0u)), panel0[0], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 1u)), panel0[1], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 2u)), panel0[2], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 3u)), panel0[3], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 4u)), panel0[4], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 5u)), panel0[5], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 6u)), panel0[6], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0, 7u)), panel0[7], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 0u)), panel0[8], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 1u)), panel0[9], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 2u)), panel0[10], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 3u)), panel0[11], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 4u)), panel0[12], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 5u)), panel0[13], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 6u)), panel0[14], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1, 7u)), panel0[15], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 0u)), panel0[16], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 1u)), panel0[17], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 2u)), panel0[18], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 3u)), panel0[19], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 4u)), panel0[20], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 5u)), panel0[21], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 6u)), panel0[22], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2, 7u)), panel0[23], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 0u)), panel0[24], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 1u)), panel0[25], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 2u)), panel0[26], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 3u)), panel0[27], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 4u)), panel0[28], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 5u)), panel0[29], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 6u)), panel0[30], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3, 7u)), panel0[31], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 0u)), panel0[32], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 1u)), panel0[33], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 2u)), panel0[34], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 3u)), panel0[35], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 4u)), panel0[36], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 5u)), panel0[37], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 6u)), panel0[38], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a4, 7u)), panel0[39], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 0u)), panel0[40], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 1u)), panel0[41], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 2u)), panel0[42], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 3u)), panel0[43], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 4u)), panel0[44], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 5u)), panel0[45], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 6u)), panel0[46], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a5, 7u)), panel0[47], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 0u)), panel0[48], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 1u)), panel0[49], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 2u)), panel0[50], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 3u)), panel0[51], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 4u)), panel0[52], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 5u)), panel0[53], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 6u)), panel0[54], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a6, 7u)), panel0[55], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 0u)), panel0[56], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 1u)), panel0[57], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 2u)), panel0[58], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 3u)), panel0[59], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 4u)), panel0[60], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 5u)), panel0[61], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 6u)), panel0[62], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a7, 7u)), panel0[63], s0);
    store_out(row, col, s0);
  }
}
