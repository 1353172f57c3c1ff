// matmul_mul_sub: 32 x 64, sums of 16, layout tn, tile 32 x 32, 32 deep
//   a: f32[32, 16] = transpose[perm=(1, 0)] x
//   b: f32[32, 64] = dot[spec='mk,kn->mn'] a cotangent
//   c: f32[32, 64] = mul 0.1 b
//   weight': f32[32, 64] = sub weight c
// moves 22.5 kB, computes 69.6 kflop
// from golden/programs.py:159
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&x), 1u);
}

fn load_a(row: u32, k: u32) -> f32 {
  let x_0 = x[min(k, 15u) * 32u + row];
  return select(0.0, x_0, k < 16u);
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  let cotangent_0 = cotangent[min(k, 15u) * 16u + col4];
  return select(vec4<f32>(0.0), cotangent_0, k < 16u);
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  let i0 = row * 16u + col4;
  let weight_0 = weight[i0];
  weight[i0] = weight_0 - 0.1 * acc;
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
    panel0[i] = load_b(i, col);
  }
  for (var i = 0u; i < rolled(32u); i++) {
    let row = row0 + i;
    let a0 = load_a(row, lane);
    let a1 = load_a(row, 8u + lane);
    let a2 = load_a(row, 16u + lane);
    let a3 = load_a(row, 24u + lane);
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
    store_out(row, col, s0);
  }
}
