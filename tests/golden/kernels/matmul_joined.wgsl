// matmul: 2048 x 1024, sums of 68, layout nt, tile 128 x 64, 16 deep
//   a: f32[48, 1024] = transpose[perm=(1, 0)] w
//   b: f32[20, 1024] = transpose[perm=(1, 0)] v
//   c: f32[2048, 68] = concat[axis=1] dy dz
//   d: f32[68, 1024] = concat[axis=0] a b
//   result: f32[2048, 1024] = dot[spec='mk,kn->mn'] c d
// moves 9.22 MB, computes 285 Mflop
// from golden/programs.py:204
@group(0) @binding(0) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dz: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

fn load_a(row: u32, k: u32) -> vec4<f32> {
  if (k < 48u) {
    let k4 = k / 4u;
    return dy[row * 12u + k4];
  }
  let k4 = k / 4u;
  let dz_0 = dz[row * 5u + min(k4 - 12u, 4u)];
  return select(vec4<f32>(0.0), dz_0, k4 < 17u);
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  if (k < 48u) {
    let k4 = k / 4u;
    return w[col * 12u + k4];
  }
  let k4 = k / 4u;
  let v_0 = v[col * 5u + min(k4 - 12u, 4u)];
  return select(vec4<f32>(0.0), v_0, k4 < 17u);
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result[row * 256u + col4] = acc;
}

// Two buffers per operand, k outermost: the loads of a tile are in flight while the other is used.
var<workgroup> a_tile0: array<vec4<f32>, 264>;
var<workgroup> b_tile0: array<vec4<f32>, 136>;
var<workgroup> a_tile1: array<vec4<f32>, 264>;
var<workgroup> b_tile1: array<vec4<f32>, 136>;

// A workgroup computes a 128 x 64 tile of out, 8 of k at a time; a thread owns 8 x 8 of it
// as groups of 4 x 4, 64 rows and 32 columns apart.
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let row0 = tile.y * 128u;
  let col0 = tile.x * 64u;
  // Two rows for every step along the columns: neighbours read the same of A or of B, at one go.
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let a_x = t / 2u;
  let a_k = t % 2u * 4u;
  let a_at = a_k * 33u + a_x / 4u;
  var a_in0: vec4<f32>;
  var a_in1: vec4<f32>;
  let b_x = t / 2u;
  let b_k = t % 2u * 4u;
  let b_at = b_k * 17u + b_x / 4u;
  var b_in0: vec4<f32>;
  var s0_0 = vec4<f32>();
  var s0_1 = vec4<f32>();
  var s1_0 = vec4<f32>();
  var s1_1 = vec4<f32>();
  var s2_0 = vec4<f32>();
  var s2_1 = vec4<f32>();
  var s3_0 = vec4<f32>();
  var s3_1 = vec4<f32>();
  var s4_0 = vec4<f32>();
  var s4_1 = vec4<f32>();
  var s5_0 = vec4<f32>();
  var s5_1 = vec4<f32>();
  var s6_0 = vec4<f32>();
  var s6_1 = vec4<f32>();
  var s7_0 = vec4<f32>();
  var s7_1 = vec4<f32>();
  a_in0 = load_a(row0 + a_x, a_k);
  a_in1 = load_a(row0 + a_x + 64u, a_k);
  b_in0 = load_b(b_k, col0 + b_x);
  a_tile0[a_at][a_x % 4u] = a_in0.x;
  a_tile0[a_at + 33u][a_x % 4u] = a_in0.y;
  a_tile0[a_at + 66u][a_x % 4u] = a_in0.z;
  a_tile0[a_at + 99u][a_x % 4u] = a_in0.w;
  a_tile0[a_at + 16u][a_x % 4u] = a_in1.x;
  a_tile0[a_at + 49u][a_x % 4u] = a_in1.y;
  a_tile0[a_at + 82u][a_x % 4u] = a_in1.z;
  a_tile0[a_at + 115u][a_x % 4u] = a_in1.w;
  b_tile0[b_at][b_x % 4u] = b_in0.x;
  b_tile0[b_at + 17u][b_x % 4u] = b_in0.y;
  b_tile0[b_at + 34u][b_x % 4u] = b_in0.z;
  b_tile0[b_at + 51u][b_x % 4u] = b_in0.w;
  workgroupBarrier();
  for (var k = 0u; k < 68u; k += 16u) {
    a_in0 = load_a(row0 + a_x, k + 8u + a_k);
    a_in1 = load_a(row0 + a_x + 64u, k + 8u + a_k);
    b_in0 = load_b(k + 8u + b_k, col0 + b_x);
    {
      let a0 = a_tile0[ty];
      let a1 = a_tile0[ty + 16u];
      let b0 = b_tile0[tx];
      let b1 = b_tile0[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 33u];
      let a1 = a_tile0[ty + 49u];
      let b0 = b_tile0[tx + 17u];
      let b1 = b_tile0[tx + 25u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 66u];
      let a1 = a_tile0[ty + 82u];
      let b0 = b_tile0[tx + 34u];
      let b1 = b_tile0[tx + 42u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 99u];
      let a1 = a_tile0[ty + 115u];
      let b0 = b_tile0[tx + 51u];
      let b1 = b_tile0[tx + 59u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 132u];
      let a1 = a_tile0[ty + 148u];
      let b0 = b_tile0[tx + 68u];
      let b1 = b_tile0[tx + 76u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 165u];
      let a1 = a_tile0[ty + 181u];
      let b0 = b_tile0[tx + 85u];
      let b1 = b_tile0[tx + 93u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 198u];
      let a1 = a_tile0[ty + 214u];
      let b0 = b_tile0[tx + 102u];
      let b1 = b_tile0[tx + 110u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile0[ty + 231u];
      let a1 = a_tile0[ty + 247u];
      let b0 = b_tile0[tx + 119u];
      let b1 = b_tile0[tx + 127u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    a_tile1[a_at][a_x % 4u] = a_in0.x;
    a_tile1[a_at + 33u][a_x % 4u] = a_in0.y;
    a_tile1[a_at + 66u][a_x % 4u] = a_in0.z;
    a_tile1[a_at + 99u][a_x % 4u] = a_in0.w;
    a_tile1[a_at + 16u][a_x % 4u] = a_in1.x;
    a_tile1[a_at + 49u][a_x % 4u] = a_in1.y;
    a_tile1[a_at + 82u][a_x % 4u] = a_in1.z;
    a_tile1[a_at + 115u][a_x % 4u] = a_in1.w;
    b_tile1[b_at][b_x % 4u] = b_in0.x;
    b_tile1[b_at + 17u][b_x % 4u] = b_in0.y;
    b_tile1[b_at + 34u][b_x % 4u] = b_in0.z;
    b_tile1[b_at + 51u][b_x % 4u] = b_in0.w;
    workgroupBarrier();
    let more = k + 16u < 68u;
    if (more) {
      a_in0 = load_a(row0 + a_x, k + 16u + a_k);
      a_in1 = load_a(row0 + a_x + 64u, k + 16u + a_k);
      b_in0 = load_b(k + 16u + b_k, col0 + b_x);
    }
    {
      let a0 = a_tile1[ty];
      let a1 = a_tile1[ty + 16u];
      let b0 = b_tile1[tx];
      let b1 = b_tile1[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 33u];
      let a1 = a_tile1[ty + 49u];
      let b0 = b_tile1[tx + 17u];
      let b1 = b_tile1[tx + 25u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 66u];
      let a1 = a_tile1[ty + 82u];
      let b0 = b_tile1[tx + 34u];
      let b1 = b_tile1[tx + 42u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 99u];
      let a1 = a_tile1[ty + 115u];
      let b0 = b_tile1[tx + 51u];
      let b1 = b_tile1[tx + 59u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 132u];
      let a1 = a_tile1[ty + 148u];
      let b0 = b_tile1[tx + 68u];
      let b1 = b_tile1[tx + 76u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 165u];
      let a1 = a_tile1[ty + 181u];
      let b0 = b_tile1[tx + 85u];
      let b1 = b_tile1[tx + 93u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 198u];
      let a1 = a_tile1[ty + 214u];
      let b0 = b_tile1[tx + 102u];
      let b1 = b_tile1[tx + 110u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    {
      let a0 = a_tile1[ty + 231u];
      let a1 = a_tile1[ty + 247u];
      let b0 = b_tile1[tx + 119u];
      let b1 = b_tile1[tx + 127u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s0_1 = fma(vec4<f32>(a0.x), b1, s0_1);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s1_1 = fma(vec4<f32>(a0.y), b1, s1_1);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s2_1 = fma(vec4<f32>(a0.z), b1, s2_1);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
      s3_1 = fma(vec4<f32>(a0.w), b1, s3_1);
      s4_0 = fma(vec4<f32>(a1.x), b0, s4_0);
      s4_1 = fma(vec4<f32>(a1.x), b1, s4_1);
      s5_0 = fma(vec4<f32>(a1.y), b0, s5_0);
      s5_1 = fma(vec4<f32>(a1.y), b1, s5_1);
      s6_0 = fma(vec4<f32>(a1.z), b0, s6_0);
      s6_1 = fma(vec4<f32>(a1.z), b1, s6_1);
      s7_0 = fma(vec4<f32>(a1.w), b0, s7_0);
      s7_1 = fma(vec4<f32>(a1.w), b1, s7_1);
    }
    if (more) {
      a_tile0[a_at][a_x % 4u] = a_in0.x;
      a_tile0[a_at + 33u][a_x % 4u] = a_in0.y;
      a_tile0[a_at + 66u][a_x % 4u] = a_in0.z;
      a_tile0[a_at + 99u][a_x % 4u] = a_in0.w;
      a_tile0[a_at + 16u][a_x % 4u] = a_in1.x;
      a_tile0[a_at + 49u][a_x % 4u] = a_in1.y;
      a_tile0[a_at + 82u][a_x % 4u] = a_in1.z;
      a_tile0[a_at + 115u][a_x % 4u] = a_in1.w;
      b_tile0[b_at][b_x % 4u] = b_in0.x;
      b_tile0[b_at + 17u][b_x % 4u] = b_in0.y;
      b_tile0[b_at + 34u][b_x % 4u] = b_in0.z;
      b_tile0[b_at + 51u][b_x % 4u] = b_in0.w;
    }
    workgroupBarrier();
  }
  store_out(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out(row0 + ty * 4u, col0 + tx * 4u + 32u, s0_1);
  store_out(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out(row0 + ty * 4u + 1u, col0 + tx * 4u + 32u, s1_1);
  store_out(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out(row0 + ty * 4u + 2u, col0 + tx * 4u + 32u, s2_1);
  store_out(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
  store_out(row0 + ty * 4u + 3u, col0 + tx * 4u + 32u, s3_1);
  store_out(row0 + ty * 4u + 64u, col0 + tx * 4u, s4_0);
  store_out(row0 + ty * 4u + 64u, col0 + tx * 4u + 32u, s4_1);
  store_out(row0 + ty * 4u + 65u, col0 + tx * 4u, s5_0);
  store_out(row0 + ty * 4u + 65u, col0 + tx * 4u + 32u, s5_1);
  store_out(row0 + ty * 4u + 66u, col0 + tx * 4u, s6_0);
  store_out(row0 + ty * 4u + 66u, col0 + tx * 4u + 32u, s6_1);
  store_out(row0 + ty * 4u + 67u, col0 + tx * 4u, s7_0);
  store_out(row0 + ty * 4u + 67u, col0 + tx * 4u + 32u, s7_1);
}
