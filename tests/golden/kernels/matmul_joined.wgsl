// matmul: 512 x 512, sums of 68, layout nt, tile 64 x 32, 32 deep
//   a: f32[48, 512] = transpose[perm=(1, 0)] w
//   b: f32[20, 512] = transpose[perm=(1, 0)] v
//   c: f32[512, 68] = concat[axis=1] dy dz
//   d: f32[68, 512] = concat[axis=0] a b
//   result: f32[512, 512] = dot[spec='mk,kn->mn'] c d
// moves 1.33 MB, computes 35.7 Mflop
// from golden/programs.py:191
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
  result[row * 128u + col4] = acc;
}

// Two buffers per operand, k outermost: the loads of a tile are in flight while the other is used.
var<workgroup> a_tile0: array<vec4<f32>, 272>;
var<workgroup> b_tile0: array<vec4<f32>, 144>;
var<workgroup> a_tile1: array<vec4<f32>, 272>;
var<workgroup> b_tile1: array<vec4<f32>, 144>;

// A workgroup computes a 64 x 32 tile of out, 16 of k at a time; a thread owns 4 x 4 of it
// as groups of 4 x 4, 64 rows and 32 columns apart.
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let row0 = tile.y * 64u;
  let col0 = tile.x * 32u;
  // Two rows for every step along the columns: neighbours read the same of A or of B, at one go.
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let a_x = t / 4u;
  let a_k = t % 4u * 4u;
  let a_at = a_k * 17u + a_x / 4u;
  var a_in0: vec4<f32>;
  var a_in1: vec4<f32>;
  let b_x = t / 4u;
  let b_k = t % 4u * 4u;
  let b_at = b_k * 9u + b_x / 4u;
  var b_in0: vec4<f32>;
  var s0_0 = vec4<f32>();
  var s1_0 = vec4<f32>();
  var s2_0 = vec4<f32>();
  var s3_0 = vec4<f32>();
  a_in0 = load_a(row0 + a_x, a_k);
  a_in1 = load_a(row0 + a_x + 32u, a_k);
  b_in0 = load_b(b_k, col0 + b_x);
  a_tile0[a_at][a_x % 4u] = a_in0.x;
  a_tile0[a_at + 17u][a_x % 4u] = a_in0.y;
  a_tile0[a_at + 34u][a_x % 4u] = a_in0.z;
  a_tile0[a_at + 51u][a_x % 4u] = a_in0.w;
  a_tile0[a_at + 8u][a_x % 4u] = a_in1.x;
  a_tile0[a_at + 25u][a_x % 4u] = a_in1.y;
  a_tile0[a_at + 42u][a_x % 4u] = a_in1.z;
  a_tile0[a_at + 59u][a_x % 4u] = a_in1.w;
  b_tile0[b_at][b_x % 4u] = b_in0.x;
  b_tile0[b_at + 9u][b_x % 4u] = b_in0.y;
  b_tile0[b_at + 18u][b_x % 4u] = b_in0.z;
  b_tile0[b_at + 27u][b_x % 4u] = b_in0.w;
  workgroupBarrier();
  for (var k = 0u; k < 68u; k += 32u) {
    a_in0 = load_a(row0 + a_x, k + 16u + a_k);
    a_in1 = load_a(row0 + a_x + 32u, k + 16u + a_k);
    b_in0 = load_b(k + 16u + b_k, col0 + b_x);
    {
      let a0 = a_tile0[ty];
      let b0 = b_tile0[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 17u];
      let b0 = b_tile0[tx + 9u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 34u];
      let b0 = b_tile0[tx + 18u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 51u];
      let b0 = b_tile0[tx + 27u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 68u];
      let b0 = b_tile0[tx + 36u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 85u];
      let b0 = b_tile0[tx + 45u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 102u];
      let b0 = b_tile0[tx + 54u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 119u];
      let b0 = b_tile0[tx + 63u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 136u];
      let b0 = b_tile0[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 153u];
      let b0 = b_tile0[tx + 81u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 170u];
      let b0 = b_tile0[tx + 90u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 187u];
      let b0 = b_tile0[tx + 99u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 204u];
      let b0 = b_tile0[tx + 108u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 221u];
      let b0 = b_tile0[tx + 117u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 238u];
      let b0 = b_tile0[tx + 126u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 255u];
      let b0 = b_tile0[tx + 135u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    a_tile1[a_at][a_x % 4u] = a_in0.x;
    a_tile1[a_at + 17u][a_x % 4u] = a_in0.y;
    a_tile1[a_at + 34u][a_x % 4u] = a_in0.z;
    a_tile1[a_at + 51u][a_x % 4u] = a_in0.w;
    a_tile1[a_at + 8u][a_x % 4u] = a_in1.x;
    a_tile1[a_at + 25u][a_x % 4u] = a_in1.y;
    a_tile1[a_at + 42u][a_x % 4u] = a_in1.z;
    a_tile1[a_at + 59u][a_x % 4u] = a_in1.w;
    b_tile1[b_at][b_x % 4u] = b_in0.x;
    b_tile1[b_at + 9u][b_x % 4u] = b_in0.y;
    b_tile1[b_at + 18u][b_x % 4u] = b_in0.z;
    b_tile1[b_at + 27u][b_x % 4u] = b_in0.w;
    workgroupBarrier();
    let more = k + 32u < 68u;
    if (more) {
      a_in0 = load_a(row0 + a_x, k + 32u + a_k);
      a_in1 = load_a(row0 + a_x + 32u, k + 32u + a_k);
      b_in0 = load_b(k + 32u + b_k, col0 + b_x);
    }
    {
      let a0 = a_tile1[ty];
      let b0 = b_tile1[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 17u];
      let b0 = b_tile1[tx + 9u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 34u];
      let b0 = b_tile1[tx + 18u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 51u];
      let b0 = b_tile1[tx + 27u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 68u];
      let b0 = b_tile1[tx + 36u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 85u];
      let b0 = b_tile1[tx + 45u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 102u];
      let b0 = b_tile1[tx + 54u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 119u];
      let b0 = b_tile1[tx + 63u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 136u];
      let b0 = b_tile1[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 153u];
      let b0 = b_tile1[tx + 81u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 170u];
      let b0 = b_tile1[tx + 90u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 187u];
      let b0 = b_tile1[tx + 99u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 204u];
      let b0 = b_tile1[tx + 108u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 221u];
      let b0 = b_tile1[tx + 117u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 238u];
      let b0 = b_tile1[tx + 126u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 255u];
      let b0 = b_tile1[tx + 135u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    if (more) {
      a_tile0[a_at][a_x % 4u] = a_in0.x;
      a_tile0[a_at + 17u][a_x % 4u] = a_in0.y;
      a_tile0[a_at + 34u][a_x % 4u] = a_in0.z;
      a_tile0[a_at + 51u][a_x % 4u] = a_in0.w;
      a_tile0[a_at + 8u][a_x % 4u] = a_in1.x;
      a_tile0[a_at + 25u][a_x % 4u] = a_in1.y;
      a_tile0[a_at + 42u][a_x % 4u] = a_in1.z;
      a_tile0[a_at + 59u][a_x % 4u] = a_in1.w;
      b_tile0[b_at][b_x % 4u] = b_in0.x;
      b_tile0[b_at + 9u][b_x % 4u] = b_in0.y;
      b_tile0[b_at + 18u][b_x % 4u] = b_in0.z;
      b_tile0[b_at + 27u][b_x % 4u] = b_in0.w;
    }
    workgroupBarrier();
  }
  store_out(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
}
