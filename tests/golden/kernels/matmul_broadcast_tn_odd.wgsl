// matmul: 18 x 21, sums of 37, layout tn, tile 16 x 32, 4 deep
//   a: f32[18, 37] = transpose[perm=(1, 0)] x
//   result: f32[18, 21] = dot[spec='mk,kn->mn'] a cotangent
// moves 7.28 kB, computes 28 kflop
// from golden/programs.py:147
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&x), 1u);
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let row4 = row / 4u;
  let i0 = min(k, 36u);
  let i1 = row4 * 4u;
  let x_0 = vec4<f32>(x[i0 * 18u + min(i1, 17u)], x[i0 * 18u + min(i1 + 1u, 17u)],
      x[i0 * 18u + min(i1 + 2u, 17u)], x[i0 * 18u + min(i1 + 3u, 17u)]);
  return select(vec4<f32>(0.0), x_0, k < 37u);
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
  if (row < 18u && col < 21u) {
    result[row * 21u + col] = acc;
  }
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  store_one(row, col, acc.x);
  store_one(row, col + 1u, acc.y);
  store_one(row, col + 2u, acc.z);
  store_one(row, col + 3u, acc.w);
}

// A subgroup computes a 16 x 32 tile of out without workgroup memory: each lane keeps 16 rows
// of its own 4 columns, reads those columns of B, and hands its share of A round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row = tile.y * 16u;
  let col = tile.x * 32u + lane * 4u;
  var s0 = vec4<f32>();
  var s1 = vec4<f32>();
  var s2 = vec4<f32>();
  var s3 = vec4<f32>();
  var s4 = vec4<f32>();
  var s5 = vec4<f32>();
  var s6 = vec4<f32>();
  var s7 = vec4<f32>();
  var s8 = vec4<f32>();
  var s9 = vec4<f32>();
  var s10 = vec4<f32>();
  var s11 = vec4<f32>();
  var s12 = vec4<f32>();
  var s13 = vec4<f32>();
  var s14 = vec4<f32>();
  var s15 = vec4<f32>();
  for (var k = 0u; k < 37u; k += 4u) {
    let a0 = load_a(row + (lane % 4u) * 4u, k + lane / 4u);
    let a1 = load_a(row + (lane % 4u) * 4u, k + lane / 4u + 2u);
    let b0 = load_b(k, col);
    let b1 = load_b(k + 1u, col);
    let b2 = load_b(k + 2u, col);
    let b3 = load_b(k + 3u, col);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), b0, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), b1, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1.x, 0u)), b2, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1.x, 4u)), b3, s0);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), b0, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), b1, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a1.y, 0u)), b2, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a1.y, 4u)), b3, s1);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), b0, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), b1, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a1.z, 0u)), b2, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a1.z, 4u)), b3, s2);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), b0, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), b1, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a1.w, 0u)), b2, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a1.w, 4u)), b3, s3);
    s4 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), b0, s4);
    s4 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), b1, s4);
    s4 = fma(vec4<f32>(subgroupBroadcast(a1.x, 1u)), b2, s4);
    s4 = fma(vec4<f32>(subgroupBroadcast(a1.x, 5u)), b3, s4);
    s5 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), b0, s5);
    s5 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), b1, s5);
    s5 = fma(vec4<f32>(subgroupBroadcast(a1.y, 1u)), b2, s5);
    s5 = fma(vec4<f32>(subgroupBroadcast(a1.y, 5u)), b3, s5);
    s6 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), b0, s6);
    s6 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), b1, s6);
    s6 = fma(vec4<f32>(subgroupBroadcast(a1.z, 1u)), b2, s6);
    s6 = fma(vec4<f32>(subgroupBroadcast(a1.z, 5u)), b3, s6);
    s7 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), b0, s7);
    s7 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), b1, s7);
    s7 = fma(vec4<f32>(subgroupBroadcast(a1.w, 1u)), b2, s7);
    s7 = fma(vec4<f32>(subgroupBroadcast(a1.w, 5u)), b3, s7);
    s8 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), b0, s8);
    s8 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), b1, s8);
    s8 = fma(vec4<f32>(subgroupBroadcast(a1.x, 2u)), b2, s8);
    s8 = fma(vec4<f32>(subgroupBroadcast(a1.x, 6u)), b3, s8);
    s9 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), b0, s9);
    s9 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), b1, s9);
    s9 = fma(vec4<f32>(subgroupBroadcast(a1.y, 2u)), b2, s9);
    s9 = fma(vec4<f32>(subgroupBroadcast(a1.y, 6u)), b3, s9);
    s10 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), b0, s10);
    s10 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), b1, s10);
    s10 = fma(vec4<f32>(subgroupBroadcast(a1.z, 2u)), b2, s10);
    s10 = fma(vec4<f32>(subgroupBroadcast(a1.z, 6u)), b3, s10);
    s11 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), b0, s11);
    s11 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), b1, s11);
    s11 = fma(vec4<f32>(subgroupBroadcast(a1.w, 2u)), b2, s11);
    s11 = fma(vec4<f32>(subgroupBroadcast(a1.w, 6u)), b3, s11);
    s12 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), b0, s12);
    s12 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), b1, s12);
    s12 = fma(vec4<f32>(subgroupBroadcast(a1.x, 3u)), b2, s12);
    s12 = fma(vec4<f32>(subgroupBroadcast(a1.x, 7u)), b3, s12);
    s13 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), b0, s13);
    s13 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), b1, s13);
    s13 = fma(vec4<f32>(subgroupBroadcast(a1.y, 3u)), b2, s13);
    s13 = fma(vec4<f32>(subgroupBroadcast(a1.y, 7u)), b3, s13);
    s14 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), b0, s14);
    s14 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), b1, s14);
    s14 = fma(vec4<f32>(subgroupBroadcast(a1.z, 3u)), b2, s14);
    s14 = fma(vec4<f32>(subgroupBroadcast(a1.z, 7u)), b3, s14);
    s15 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), b0, s15);
    s15 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), b1, s15);
    s15 = fma(vec4<f32>(subgroupBroadcast(a1.w, 3u)), b2, s15);
    s15 = fma(vec4<f32>(subgroupBroadcast(a1.w, 7u)), b3, s15);
  }
  // A loop, so that the epilogue is compiled once.
  var rows = array<vec4<f32>, 16>(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14,
      s15);
  for (var i = 0u; i < rolled(16u); i++) {
    store_out(row + i, col, rows[i]);
  }
}
