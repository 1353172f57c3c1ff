// matmul: 4 x 64, sums of 32, layout nn, tile 4 x 32, 8 deep
//   result: f32[4, 64] = dot[spec='mk,kn->mn'] x weight
// moves 9.73 kB, computes 16.4 kflop
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
  return x[row * 8u + k4];
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return weight[k * 16u + col4];
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result[row * 16u + col4] = acc;
}

// A subgroup computes a 4 x 32 tile of out without workgroup memory: each lane keeps 4 rows
// of its own 4 columns, reads those columns of B, and hands its share of A round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row = tile.y * 4u;
  let col = tile.x * 32u + lane * 4u;
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  for (var k = 0u; k < rolled(32u); k += 8u) {
    let a0 = load_a(row + lane % 4u, k + (lane / 4u) * 4u);
    let b0 = load_b(k, col);
    let b1 = load_b(k + 1u, col);
    let b2 = load_b(k + 2u, col);
    let b3 = load_b(k + 3u, col);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), b0, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), b1, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), b2, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), b3, s0);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), b0, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), b1, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), b2, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), b3, s1);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), b0, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), b1, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), b2, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), b3, s2);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), b0, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), b1, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), b2, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), b3, s3);
    let b4 = load_b(k + 4u, col);
    let b5 = load_b(k + 5u, col);
    let b6 = load_b(k + 6u, col);
    let b7 = load_b(k + 7u, col);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), b4, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), b5, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), b6, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), b7, s0);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), b4, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), b5, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), b6, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), b7, s1);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), b4, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), b5, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), b6, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), b7, s2);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), b4, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), b5, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), b6, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), b7, s3);
  }
  store_out(row, col, s0);
  store_out(row + 1u, col, s1);
  store_out(row + 2u, col, s2);
  store_out(row + 3u, col, s3);
}
