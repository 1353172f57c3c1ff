// matmul: 40 x 72, sums of 96, layout nn, tile 64 x 64, 32 deep
//   result: f32[40, 72] = dot[spec='mk,kn->mn'] x weight
// moves 54.5 kB, computes 553 kflop
// from golden/programs.py:139
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&x), 1u);
}

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

// A subgroup computes 64 x 64 of out. Each lane keeps its columns of B, 32 deep, in panels of its
// own; the lanes fetch one row of A after the other together and hand it round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row0 = tile.y * 64u;
  let col = tile.x * 64u + lane * 4u;
  var panel0: array<vec4<f32>, 33>;
  var panel1: array<vec4<f32>, 33>;
  for (var k = 0u; k < rolled(96u); k += 32u) {
    for (var i = 0u; i < rolled(32u); i++) {
      panel0[i] = load_b(i + k, col);
      panel1[i] = load_b(i + k, col + 32u);
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
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), panel0[0], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), panel1[0], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), panel0[1], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), panel1[1], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), panel0[2], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), panel1[2], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), panel0[3], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), panel1[3], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), panel0[4], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), panel1[4], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), panel0[5], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), panel1[5], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), panel0[6], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), panel1[6], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), panel0[7], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), panel1[7], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), panel0[8], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), panel1[8], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), panel0[9], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), panel1[9], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), panel0[10], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), panel1[10], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), panel0[11], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), panel1[11], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), panel0[12], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), panel1[12], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), panel0[13], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), panel1[13], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), panel0[14], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), panel1[14], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), panel0[15], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), panel1[15], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), panel0[16], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), panel1[16], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), panel0[17], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), panel1[17], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), panel0[18], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), panel1[18], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), panel0[19], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), panel1[19], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), panel0[20], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), panel1[20], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), panel0[21], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), panel1[21], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), panel0[22], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), panel1[22], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), panel0[23], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), panel1[23], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), panel0[24], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), panel1[24], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), panel0[25], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), panel1[25], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), panel0[26], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), panel1[26], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), panel0[27], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), panel1[27], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), panel0[28], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), panel1[28], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), panel0[29], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), panel1[29], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), panel0[30], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), panel1[30], s1);
      s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), panel0[31], s0);
      s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), panel1[31], s1);
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
