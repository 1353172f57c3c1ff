// matmul_mul_sub: 32 x 64, sums of 16, layout tn, tile 32 x 32, 4 deep
//   a: f32[32, 16] = transpose[perm=(1, 0)] x
//   b: f32[32, 64] = dot[spec='mk,kn->mn'] a cotangent
//   c: f32[32, 64] = mul 0.1 b
//   weight': f32[32, 64] = sub weight c
// moves 22.5 kB, computes 69.6 kflop
// from golden/programs.py:159
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let row4 = row / 4u;
  return x[k * 8u + row4];
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return cotangent[k * 16u + col4];
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  let i0 = row * 16u + col4;
  let weight_0 = weight[i0];
  weight[i0] = weight_0 - 0.1 * acc;
}

// A subgroup computes a 32 x 32 tile of out without workgroup memory: each lane keeps 32 rows
// of its own 4 columns, reads those columns of B, and hands its share of A round by broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let row = tile.y * 32u;
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
  var s16 = vec4<f32>();
  var s17 = vec4<f32>();
  var s18 = vec4<f32>();
  var s19 = vec4<f32>();
  var s20 = vec4<f32>();
  var s21 = vec4<f32>();
  var s22 = vec4<f32>();
  var s23 = vec4<f32>();
  var s24 = vec4<f32>();
  var s25 = vec4<f32>();
  var s26 = vec4<f32>();
  var s27 = vec4<f32>();
  var s28 = vec4<f32>();
  var s29 = vec4<f32>();
  var s30 = vec4<f32>();
  var s31 = vec4<f32>();
  for (var k = 0u; k < 16u; k += 4u) {
    let a0 = load_a(row + lane * 4u, k);
    let a1 = load_a(row + lane * 4u, k + 1u);
    let a2 = load_a(row + lane * 4u, k + 2u);
    let a3 = load_a(row + lane * 4u, k + 3u);
    let b0 = load_b(k, col);
    let b1 = load_b(k + 1u, col);
    let b2 = load_b(k + 2u, col);
    let b3 = load_b(k + 3u, col);
    s0 = fma(vec4<f32>(subgroupBroadcast(a0.x, 0u)), b0, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a1.x, 0u)), b1, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a2.x, 0u)), b2, s0);
    s0 = fma(vec4<f32>(subgroupBroadcast(a3.x, 0u)), b3, s0);
    s1 = fma(vec4<f32>(subgroupBroadcast(a0.y, 0u)), b0, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a1.y, 0u)), b1, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a2.y, 0u)), b2, s1);
    s1 = fma(vec4<f32>(subgroupBroadcast(a3.y, 0u)), b3, s1);
    s2 = fma(vec4<f32>(subgroupBroadcast(a0.z, 0u)), b0, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a1.z, 0u)), b1, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a2.z, 0u)), b2, s2);
    s2 = fma(vec4<f32>(subgroupBroadcast(a3.z, 0u)), b3, s2);
    s3 = fma(vec4<f32>(subgroupBroadcast(a0.w, 0u)), b0, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a1.w, 0u)), b1, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a2.w, 0u)), b2, s3);
    s3 = fma(vec4<f32>(subgroupBroadcast(a3.w, 0u)), b3, s3);
    s4 = fma(vec4<f32>(subgroupBroadcast(a0.x, 1u)), b0, s4);
    s4 = fma(vec4<f32>(subgroupBroadcast(a1.x, 1u)), b1, s4);
    s4 = fma(vec4<f32>(subgroupBroadcast(a2.x, 1u)), b2, s4);
    s4 = fma(vec4<f32>(subgroupBroadcast(a3.x, 1u)), b3, s4);
    s5 = fma(vec4<f32>(subgroupBroadcast(a0.y, 1u)), b0, s5);
    s5 = fma(vec4<f32>(subgroupBroadcast(a1.y, 1u)), b1, s5);
    s5 = fma(vec4<f32>(subgroupBroadcast(a2.y, 1u)), b2, s5);
    s5 = fma(vec4<f32>(subgroupBroadcast(a3.y, 1u)), b3, s5);
    s6 = fma(vec4<f32>(subgroupBroadcast(a0.z, 1u)), b0, s6);
    s6 = fma(vec4<f32>(subgroupBroadcast(a1.z, 1u)), b1, s6);
    s6 = fma(vec4<f32>(subgroupBroadcast(a2.z, 1u)), b2, s6);
    s6 = fma(vec4<f32>(subgroupBroadcast(a3.z, 1u)), b3, s6);
    s7 = fma(vec4<f32>(subgroupBroadcast(a0.w, 1u)), b0, s7);
    s7 = fma(vec4<f32>(subgroupBroadcast(a1.w, 1u)), b1, s7);
    s7 = fma(vec4<f32>(subgroupBroadcast(a2.w, 1u)), b2, s7);
    s7 = fma(vec4<f32>(subgroupBroadcast(a3.w, 1u)), b3, s7);
    s8 = fma(vec4<f32>(subgroupBroadcast(a0.x, 2u)), b0, s8);
    s8 = fma(vec4<f32>(subgroupBroadcast(a1.x, 2u)), b1, s8);
    s8 = fma(vec4<f32>(subgroupBroadcast(a2.x, 2u)), b2, s8);
    s8 = fma(vec4<f32>(subgroupBroadcast(a3.x, 2u)), b3, s8);
    s9 = fma(vec4<f32>(subgroupBroadcast(a0.y, 2u)), b0, s9);
    s9 = fma(vec4<f32>(subgroupBroadcast(a1.y, 2u)), b1, s9);
    s9 = fma(vec4<f32>(subgroupBroadcast(a2.y, 2u)), b2, s9);
    s9 = fma(vec4<f32>(subgroupBroadcast(a3.y, 2u)), b3, s9);
    s10 = fma(vec4<f32>(subgroupBroadcast(a0.z, 2u)), b0, s10);
    s10 = fma(vec4<f32>(subgroupBroadcast(a1.z, 2u)), b1, s10);
    s10 = fma(vec4<f32>(subgroupBroadcast(a2.z, 2u)), b2, s10);
    s10 = fma(vec4<f32>(subgroupBroadcast(a3.z, 2u)), b3, s10);
    s11 = fma(vec4<f32>(subgroupBroadcast(a0.w, 2u)), b0, s11);
    s11 = fma(vec4<f32>(subgroupBroadcast(a1.w, 2u)), b1, s11);
    s11 = fma(vec4<f32>(subgroupBroadcast(a2.w, 2u)), b2, s11);
    s11 = fma(vec4<f32>(subgroupBroadcast(a3.w, 2u)), b3, s11);
    s12 = fma(vec4<f32>(subgroupBroadcast(a0.x, 3u)), b0, s12);
    s12 = fma(vec4<f32>(subgroupBroadcast(a1.x, 3u)), b1, s12);
    s12 = fma(vec4<f32>(subgroupBroadcast(a2.x, 3u)), b2, s12);
    s12 = fma(vec4<f32>(subgroupBroadcast(a3.x, 3u)), b3, s12);
    s13 = fma(vec4<f32>(subgroupBroadcast(a0.y, 3u)), b0, s13);
    s13 = fma(vec4<f32>(subgroupBroadcast(a1.y, 3u)), b1, s13);
    s13 = fma(vec4<f32>(subgroupBroadcast(a2.y, 3u)), b2, s13);
    s13 = fma(vec4<f32>(subgroupBroadcast(a3.y, 3u)), b3, s13);
    s14 = fma(vec4<f32>(subgroupBroadcast(a0.z, 3u)), b0, s14);
    s14 = fma(vec4<f32>(subgroupBroadcast(a1.z, 3u)), b1, s14);
    s14 = fma(vec4<f32>(subgroupBroadcast(a2.z, 3u)), b2, s14);
    s14 = fma(vec4<f32>(subgroupBroadcast(a3.z, 3u)), b3, s14);
    s15 = fma(vec4<f32>(subgroupBroadcast(a0.w, 3u)), b0, s15);
    s15 = fma(vec4<f32>(subgroupBroadcast(a1.w, 3u)), b1, s15);
    s15 = fma(vec4<f32>(subgroupBroadcast(a2.w, 3u)), b2, s15);
    s15 = fma(vec4<f32>(subgroupBroadcast(a3.w, 3u)), b3, s15);
    s16 = fma(vec4<f32>(subgroupBroadcast(a0.x, 4u)), b0, s16);
    s16 = fma(vec4<f32>(subgroupBroadcast(a1.x, 4u)), b1, s16);
    s16 = fma(vec4<f32>(subgroupBroadcast(a2.x, 4u)), b2, s16);
    s16 = fma(vec4<f32>(subgroupBroadcast(a3.x, 4u)), b3, s16);
    s17 = fma(vec4<f32>(subgroupBroadcast(a0.y, 4u)), b0, s17);
    s17 = fma(vec4<f32>(subgroupBroadcast(a1.y, 4u)), b1, s17);
    s17 = fma(vec4<f32>(subgroupBroadcast(a2.y, 4u)), b2, s17);
    s17 = fma(vec4<f32>(subgroupBroadcast(a3.y, 4u)), b3, s17);
    s18 = fma(vec4<f32>(subgroupBroadcast(a0.z, 4u)), b0, s18);
    s18 = fma(vec4<f32>(subgroupBroadcast(a1.z, 4u)), b1, s18);
    s18 = fma(vec4<f32>(subgroupBroadcast(a2.z, 4u)), b2, s18);
    s18 = fma(vec4<f32>(subgroupBroadcast(a3.z, 4u)), b3, s18);
    s19 = fma(vec4<f32>(subgroupBroadcast(a0.w, 4u)), b0, s19);
    s19 = fma(vec4<f32>(subgroupBroadcast(a1.w, 4u)), b1, s19);
    s19 = fma(vec4<f32>(subgroupBroadcast(a2.w, 4u)), b2, s19);
    s19 = fma(vec4<f32>(subgroupBroadcast(a3.w, 4u)), b3, s19);
    s20 = fma(vec4<f32>(subgroupBroadcast(a0.x, 5u)), b0, s20);
    s20 = fma(vec4<f32>(subgroupBroadcast(a1.x, 5u)), b1, s20);
    s20 = fma(vec4<f32>(subgroupBroadcast(a2.x, 5u)), b2, s20);
    s20 = fma(vec4<f32>(subgroupBroadcast(a3.x, 5u)), b3, s20);
    s21 = fma(vec4<f32>(subgroupBroadcast(a0.y, 5u)), b0, s21);
    s21 = fma(vec4<f32>(subgroupBroadcast(a1.y, 5u)), b1, s21);
    s21 = fma(vec4<f32>(subgroupBroadcast(a2.y, 5u)), b2, s21);
    s21 = fma(vec4<f32>(subgroupBroadcast(a3.y, 5u)), b3, s21);
    s22 = fma(vec4<f32>(subgroupBroadcast(a0.z, 5u)), b0, s22);
    s22 = fma(vec4<f32>(subgroupBroadcast(a1.z, 5u)), b1, s22);
    s22 = fma(vec4<f32>(subgroupBroadcast(a2.z, 5u)), b2, s22);
    s22 = fma(vec4<f32>(subgroupBroadcast(a3.z, 5u)), b3, s22);
    s23 = fma(vec4<f32>(subgroupBroadcast(a0.w, 5u)), b0, s23);
    s23 = fma(vec4<f32>(subgroupBroadcast(a1.w, 5u)), b1, s23);
    s23 = fma(vec4<f32>(subgroupBroadcast(a2.w, 5u)), b2, s23);
    s23 = fma(vec4<f32>(subgroupBroadcast(a3.w, 5u)), b3, s23);
    s24 = fma(vec4<f32>(subgroupBroadcast(a0.x, 6u)), b0, s24);
    s24 = fma(vec4<f32>(subgroupBroadcast(a1.x, 6u)), b1, s24);
    s24 = fma(vec4<f32>(subgroupBroadcast(a2.x, 6u)), b2, s24);
    s24 = fma(vec4<f32>(subgroupBroadcast(a3.x, 6u)), b3, s24);
    s25 = fma(vec4<f32>(subgroupBroadcast(a0.y, 6u)), b0, s25);
    s25 = fma(vec4<f32>(subgroupBroadcast(a1.y, 6u)), b1, s25);
    s25 = fma(vec4<f32>(subgroupBroadcast(a2.y, 6u)), b2, s25);
    s25 = fma(vec4<f32>(subgroupBroadcast(a3.y, 6u)), b3, s25);
    s26 = fma(vec4<f32>(subgroupBroadcast(a0.z, 6u)), b0, s26);
    s26 = fma(vec4<f32>(subgroupBroadcast(a1.z, 6u)), b1, s26);
    s26 = fma(vec4<f32>(subgroupBroadcast(a2.z, 6u)), b2, s26);
    s26 = fma(vec4<f32>(subgroupBroadcast(a3.z, 6u)), b3, s26);
    s27 = fma(vec4<f32>(subgroupBroadcast(a0.w, 6u)), b0, s27);
    s27 = fma(vec4<f32>(subgroupBroadcast(a1.w, 6u)), b1, s27);
    s27 = fma(vec4<f32>(subgroupBroadcast(a2.w, 6u)), b2, s27);
    s27 = fma(vec4<f32>(subgroupBroadcast(a3.w, 6u)), b3, s27);
    s28 = fma(vec4<f32>(subgroupBroadcast(a0.x, 7u)), b0, s28);
    s28 = fma(vec4<f32>(subgroupBroadcast(a1.x, 7u)), b1, s28);
    s28 = fma(vec4<f32>(subgroupBroadcast(a2.x, 7u)), b2, s28);
    s28 = fma(vec4<f32>(subgroupBroadcast(a3.x, 7u)), b3, s28);
    s29 = fma(vec4<f32>(subgroupBroadcast(a0.y, 7u)), b0, s29);
    s29 = fma(vec4<f32>(subgroupBroadcast(a1.y, 7u)), b1, s29);
    s29 = fma(vec4<f32>(subgroupBroadcast(a2.y, 7u)), b2, s29);
    s29 = fma(vec4<f32>(subgroupBroadcast(a3.y, 7u)), b3, s29);
    s30 = fma(vec4<f32>(subgroupBroadcast(a0.z, 7u)), b0, s30);
    s30 = fma(vec4<f32>(subgroupBroadcast(a1.z, 7u)), b1, s30);
    s30 = fma(vec4<f32>(subgroupBroadcast(a2.z, 7u)), b2, s30);
    s30 = fma(vec4<f32>(subgroupBroadcast(a3.z, 7u)), b3, s30);
    s31 = fma(vec4<f32>(subgroupBroadcast(a0.w, 7u)), b0, s31);
    s31 = fma(vec4<f32>(subgroupBroadcast(a1.w, 7u)), b1, s31);
    s31 = fma(vec4<f32>(subgroupBroadcast(a2.w, 7u)), b2, s31);
    s31 = fma(vec4<f32>(subgroupBroadcast(a3.w, 7u)), b3, s31);
  }
  store_out(row, col, s0);
  store_out(row + 1u, col, s1);
  store_out(row + 2u, col, s2);
  store_out(row + 3u, col, s3);
  store_out(row + 4u, col, s4);
  store_out(row + 5u, col, s5);
  store_out(row + 6u, col, s6);
  store_out(row + 7u, col, s7);
  store_out(row + 8u, col, s8);
  store_out(row + 9u, col, s9);
  store_out(row + 10u, col, s10);
  store_out(row + 11u, col, s11);
  store_out(row + 12u, col, s12);
  store_out(row + 13u, col, s13);
  store_out(row + 14u, col, s14);
  store_out(row + 15u, col, s15);
  store_out(row + 16u, col, s16);
  store_out(row + 17u, col, s17);
  store_out(row + 18u, col, s18);
  store_out(row + 19u, col, s19);
  store_out(row + 20u, col, s20);
  store_out(row + 21u, col, s21);
  store_out(row + 22u, col, s22);
  store_out(row + 23u, col, s23);
  store_out(row + 24u, col, s24);
  store_out(row + 25u, col, s25);
  store_out(row + 26u, col, s26);
  store_out(row + 27u, col, s27);
  store_out(row + 28u, col, s28);
  store_out(row + 29u, col, s29);
  store_out(row + 30u, col, s30);
  store_out(row + 31u, col, s31);
}
