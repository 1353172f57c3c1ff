// matmul: 40 x 72, sums of 96, layout nn, tile 64 x 64, 32 deep
//   result: f32[40, 72] = dot[spec='mk,kn->mn'] x weight
// moves 54.5 kB, computes 553 kflop
// from golden/programs.py:139
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  return x[row * 24u + k4];
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return weight[k * 18u + min(col4, 17u)];
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  if (col < 72u) {
    let col4 = col / 4u;
    result[row * 18u + col4] = acc;
  }
}

var<workgroup> sums: array<vec4<f32>, 1024>;

// A subgroup computes 64 x 64 of out. Each lane keeps its columns of B, 32 deep, in a panel of its
// own; the lanes fetch one row of A after the other together and hand it round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row0 = tile.y * 64u;
  let col = tile.x * 64u + lane * 4u;
  var panel: array<vec4<f32>, 64>;
  for (var k = 0u; k < 96u; k += 32u) {
    for (var i = 0u; i < 64u; i++) {
      panel[i] = load_b(i / 2u + k, col + i % 2u * 32u);
    }
    for (var i = 0u; i < min(64u, 40u - row0); i++) {
      let row = row0 + i;
      let a0 = load_a(row, lane * 4u + k);
      var s0 = vec4<f32>();
      var s1 = vec4<f32>();
      if (k > 0u) {
        s0 = sums[i * 16u + lane];
        s1 = sums[i * 16u + lane + 8u];
      }
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), panel[0], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), panel[1], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), panel[2], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), panel[3], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), panel[4], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), panel[5], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), panel[6], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), panel[7], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), panel[8], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), panel[9], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), panel[10], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), panel[11], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), panel[12], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), panel[13], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), panel[14], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), panel[15], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), panel[16], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), panel[17], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), panel[18], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), panel[19], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), panel[20], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), panel[21], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), panel[22], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), panel[23], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), panel[24], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), panel[25], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), panel[26], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), panel[27], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), panel[28], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), panel[29], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), panel[30], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), panel[31], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), panel[32], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), panel[33], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), panel[34], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), panel[35], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), panel[36], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), panel[37], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), panel[38], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), panel[39], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), panel[40], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), panel[41], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), panel[42], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), panel[43], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), panel[44], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), panel[45], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), panel[46], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), panel[47], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), panel[48], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), panel[49], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), panel[50], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), panel[51], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), panel[52], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), panel[53], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), panel[54], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), panel[55], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), panel[56], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), panel[57], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), panel[58], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), panel[59], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), panel[60], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), panel[61], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), panel[62], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), panel[63], s1);
      if (k + 32u < 96u) {
        sums[i * 16u + lane] = s0;
        sums[i * 16u + lane + 8u] = s1;
      } else {
        store_out(row, col, s0);
        store_out(row, col + 32u, s1);
      }
    }
  }
}
