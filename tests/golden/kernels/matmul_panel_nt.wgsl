// matmul_add: 32 x 64, sums of 32, layout nt, tile 32 x 32, 32 deep
//   a: f32[32, 64] = transpose[perm=(1, 0)] weight
//   b: f32[2, 16, 64] = dot[spec='Zmk,kn->Zmn'] x a
//   result: f32[2, 16, 64] = add before b
// moves 28.7 kB, computes 133 kflop
// from golden/programs.py:143
@group(0) @binding(0) var<storage, read> weight: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> before: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&weight), 1u);
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  return x[row * 8u + k4];
}

fn load_b(k: u32, col: u32) -> f32 {
  return weight[col * 32u + k];
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  let i0 = row * 16u + col4;
  let before_0 = before[i0];
  result[i0] = before_0 + acc;
}

// A subgroup computes 32 x 32 of out. Each lane keeps its columns of B, 32 deep, in panels of its
// own; the lanes fetch one row of A after the other together and hand it round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row0 = tile.y * 32u;
  let col = tile.x * 32u + lane * 4u;
  var panel0: array<vec4<f32>, 33>;
  for (var i = 0u; i < rolled(32u); i++) {
    panel0[i] = vec4<f32>(load_b(i, col), load_b(i, col + 1u), load_b(i, col + 2u),
        load_b(i, col + 3u));
  }
  for (var i = 0u; i < rolled(32u); i++) {
    let row = row0 + i;
    let a0 = load_a(row, lane * 4u);
    var s0 = vec4<f32>();
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), panel0[0], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), panel0[1], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), panel0[2], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), panel0[3], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), panel0[4], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), panel0[5], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), panel0[6], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), panel0[7], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), panel0[8], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), panel0[9], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), panel0[10], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), panel0[11], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), panel0[12], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), panel0[13], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), panel0[14], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), panel0[15], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), panel0[16], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), panel0[17], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), panel0[18], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), panel0[19], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), panel0[20], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), panel0[21], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), panel0[22], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), panel0[23], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), panel0[24], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), panel0[25], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), panel0[26], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), panel0[27], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), panel0[28], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), panel0[29], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), panel0[30], s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), panel0[31], s0);
    store_out(row, col, s0);
  }
}
