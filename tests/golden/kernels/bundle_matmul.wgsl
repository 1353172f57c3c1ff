// matmul_logistic_mul_and_2_more: 3 kernels side by side
// part_1: 64 x 64, sums of 32, layout nn, tile 32 x 32, 32 deep
//   a: f32[64, 64] = dot[spec='mk,kn->mn'] x query
//   b: f32[64, 64] = logistic a
//   result_0: f32[64, 64] = mul a b
// moves 32.8 kB, computes 270 kflop
// from golden/programs.py:208
// part_2: 64 x 32, sums of 32, layout nn, tile 32 x 32, 32 deep
//   result_1: f32[64, 32] = dot[spec='mk,kn->mn'] x key
// moves 20.5 kB, computes 131 kflop
// from golden/programs.py:208
// part_3: 64 x 32, sums of 32, layout nn, tile 32 x 32, 32 deep
//   result_2: f32[64, 32] = dot[spec='mk,kn->mn'] x value
// moves 20.5 kB, computes 131 kflop
// from golden/programs.py:208
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result_0: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result_1: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> result_2: array<vec4<f32>>;

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  return x[row * 8u + k4];
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return query[k * 16u + col4];
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result_0[row * 16u + col4] = acc * (1.0 / (1.0 + exp(-acc)));
}

fn load_b_2(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return key[k * 8u + col4];
}

fn store_out_2(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result_1[row * 8u + col4] = acc;
}

fn load_b_3(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return value[k * 8u + col4];
}

fn store_out_3(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result_2[row * 8u + col4] = acc;
}

// A workgroup computes a 32 x 32 tile of out, 16 of k at a time; a thread owns 4 x 4 of it
// as groups of 4 x 4, 32 rows and 32 columns apart.
fn part_1(group: vec3<u32>, t: u32) {
  let tile = group;
  let row0 = tile.y * 32u;
  let col0 = tile.x * 32u;
  // Two rows for every step along the columns: neighbours read the same of A or of B, at one go.
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let a_x = t / 4u;
  let a_k = t % 4u * 4u;
  let a_at = a_k * 9u + a_x / 4u;
  var a_in0: vec4<f32>;
  var a_in1: vec4<f32>;
  let b_x = t % 8u * 4u;
  let b_k = t / 8u;
  let b_at = b_k * 8u + b_x / 4u;
  var b_in0: vec4<f32>;
  var b_in1: vec4<f32>;
  var s0_0 = vec4<f32>();
  var s1_0 = vec4<f32>();
  var s2_0 = vec4<f32>();
  var s3_0 = vec4<f32>();
  a_in0 = load_a(row0 + a_x, a_k);
  a_in1 = load_a(row0 + a_x + 16u, a_k);
  b_in0 = load_b(b_k, col0 + b_x);
  b_in1 = load_b(b_k + 8u, col0 + b_x);
  a_tile0[a_at][a_x % 4u] = a_in0.x;
  a_tile0[a_at + 9u][a_x % 4u] = a_in0.y;
  a_tile0[a_at + 18u][a_x % 4u] = a_in0.z;
  a_tile0[a_at + 27u][a_x % 4u] = a_in0.w;
  a_tile0[a_at + 4u][a_x % 4u] = a_in1.x;
  a_tile0[a_at + 13u][a_x % 4u] = a_in1.y;
  a_tile0[a_at + 22u][a_x % 4u] = a_in1.z;
  a_tile0[a_at + 31u][a_x % 4u] = a_in1.w;
  b_tile0[b_at] = b_in0;
  b_tile0[b_at + 64u] = b_in1;
  workgroupBarrier();
  for (var k = 0u; k < 32u; k += 32u) {
    a_in0 = load_a(row0 + a_x, k + 16u + a_k);
    a_in1 = load_a(row0 + a_x + 16u, k + 16u + a_k);
    b_in0 = load_b(k + 16u + b_k, col0 + b_x);
    b_in1 = load_b(k + 16u + b_k + 8u, col0 + b_x);
    {
      let a0 = a_tile0[ty];
      let b0 = b_tile0[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 9u];
      let b0 = b_tile0[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 18u];
      let b0 = b_tile0[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 27u];
      let b0 = b_tile0[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 36u];
      let b0 = b_tile0[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 45u];
      let b0 = b_tile0[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 54u];
      let b0 = b_tile0[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 63u];
      let b0 = b_tile0[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 72u];
      let b0 = b_tile0[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 81u];
      let b0 = b_tile0[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 90u];
      let b0 = b_tile0[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 99u];
      let b0 = b_tile0[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 108u];
      let b0 = b_tile0[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 117u];
      let b0 = b_tile0[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 126u];
      let b0 = b_tile0[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 135u];
      let b0 = b_tile0[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    a_tile1[a_at][a_x % 4u] = a_in0.x;
    a_tile1[a_at + 9u][a_x % 4u] = a_in0.y;
    a_tile1[a_at + 18u][a_x % 4u] = a_in0.z;
    a_tile1[a_at + 27u][a_x % 4u] = a_in0.w;
    a_tile1[a_at + 4u][a_x % 4u] = a_in1.x;
    a_tile1[a_at + 13u][a_x % 4u] = a_in1.y;
    a_tile1[a_at + 22u][a_x % 4u] = a_in1.z;
    a_tile1[a_at + 31u][a_x % 4u] = a_in1.w;
    b_tile1[b_at] = b_in0;
    b_tile1[b_at + 64u] = b_in1;
    workgroupBarrier();
    let more = k + 32u < 32u;
    if (more) {
      a_in0 = load_a(row0 + a_x, k + 32u + a_k);
      a_in1 = load_a(row0 + a_x + 16u, k + 32u + a_k);
      b_in0 = load_b(k + 32u + b_k, col0 + b_x);
      b_in1 = load_b(k + 32u + b_k + 8u, col0 + b_x);
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
      let a0 = a_tile1[ty + 9u];
      let b0 = b_tile1[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 18u];
      let b0 = b_tile1[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 27u];
      let b0 = b_tile1[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 36u];
      let b0 = b_tile1[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 45u];
      let b0 = b_tile1[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 54u];
      let b0 = b_tile1[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 63u];
      let b0 = b_tile1[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 72u];
      let b0 = b_tile1[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 81u];
      let b0 = b_tile1[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 90u];
      let b0 = b_tile1[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 99u];
      let b0 = b_tile1[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 108u];
      let b0 = b_tile1[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 117u];
      let b0 = b_tile1[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 126u];
      let b0 = b_tile1[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 135u];
      let b0 = b_tile1[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    if (more) {
      a_tile0[a_at][a_x % 4u] = a_in0.x;
      a_tile0[a_at + 9u][a_x % 4u] = a_in0.y;
      a_tile0[a_at + 18u][a_x % 4u] = a_in0.z;
      a_tile0[a_at + 27u][a_x % 4u] = a_in0.w;
      a_tile0[a_at + 4u][a_x % 4u] = a_in1.x;
      a_tile0[a_at + 13u][a_x % 4u] = a_in1.y;
      a_tile0[a_at + 22u][a_x % 4u] = a_in1.z;
      a_tile0[a_at + 31u][a_x % 4u] = a_in1.w;
      b_tile0[b_at] = b_in0;
      b_tile0[b_at + 64u] = b_in1;
    }
    workgroupBarrier();
  }
  store_out(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
}

// A workgroup computes a 32 x 32 tile of out, 16 of k at a time; a thread owns 4 x 4 of it
// as groups of 4 x 4, 32 rows and 32 columns apart.
fn part_2(group: vec3<u32>, t: u32) {
  let tile = group;
  let row0 = tile.y * 32u;
  let col0 = tile.x * 32u;
  // Two rows for every step along the columns: neighbours read the same of A or of B, at one go.
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let a_x = t / 4u;
  let a_k = t % 4u * 4u;
  let a_at = a_k * 9u + a_x / 4u;
  var a_in0: vec4<f32>;
  var a_in1: vec4<f32>;
  let b_x = t % 8u * 4u;
  let b_k = t / 8u;
  let b_at = b_k * 8u + b_x / 4u;
  var b_in0: vec4<f32>;
  var b_in1: vec4<f32>;
  var s0_0 = vec4<f32>();
  var s1_0 = vec4<f32>();
  var s2_0 = vec4<f32>();
  var s3_0 = vec4<f32>();
  a_in0 = load_a(row0 + a_x, a_k);
  a_in1 = load_a(row0 + a_x + 16u, a_k);
  b_in0 = load_b_2(b_k, col0 + b_x);
  b_in1 = load_b_2(b_k + 8u, col0 + b_x);
  a_tile0[a_at][a_x % 4u] = a_in0.x;
  a_tile0[a_at + 9u][a_x % 4u] = a_in0.y;
  a_tile0[a_at + 18u][a_x % 4u] = a_in0.z;
  a_tile0[a_at + 27u][a_x % 4u] = a_in0.w;
  a_tile0[a_at + 4u][a_x % 4u] = a_in1.x;
  a_tile0[a_at + 13u][a_x % 4u] = a_in1.y;
  a_tile0[a_at + 22u][a_x % 4u] = a_in1.z;
  a_tile0[a_at + 31u][a_x % 4u] = a_in1.w;
  b_tile0[b_at] = b_in0;
  b_tile0[b_at + 64u] = b_in1;
  workgroupBarrier();
  for (var k = 0u; k < 32u; k += 32u) {
    a_in0 = load_a(row0 + a_x, k + 16u + a_k);
    a_in1 = load_a(row0 + a_x + 16u, k + 16u + a_k);
    b_in0 = load_b_2(k + 16u + b_k, col0 + b_x);
    b_in1 = load_b_2(k + 16u + b_k + 8u, col0 + b_x);
    {
      let a0 = a_tile0[ty];
      let b0 = b_tile0[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 9u];
      let b0 = b_tile0[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 18u];
      let b0 = b_tile0[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 27u];
      let b0 = b_tile0[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 36u];
      let b0 = b_tile0[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 45u];
      let b0 = b_tile0[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 54u];
      let b0 = b_tile0[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 63u];
      let b0 = b_tile0[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 72u];
      let b0 = b_tile0[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 81u];
      let b0 = b_tile0[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 90u];
      let b0 = b_tile0[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 99u];
      let b0 = b_tile0[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 108u];
      let b0 = b_tile0[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 117u];
      let b0 = b_tile0[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 126u];
      let b0 = b_tile0[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 135u];
      let b0 = b_tile0[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    a_tile1[a_at][a_x % 4u] = a_in0.x;
    a_tile1[a_at + 9u][a_x % 4u] = a_in0.y;
    a_tile1[a_at + 18u][a_x % 4u] = a_in0.z;
    a_tile1[a_at + 27u][a_x % 4u] = a_in0.w;
    a_tile1[a_at + 4u][a_x % 4u] = a_in1.x;
    a_tile1[a_at + 13u][a_x % 4u] = a_in1.y;
    a_tile1[a_at + 22u][a_x % 4u] = a_in1.z;
    a_tile1[a_at + 31u][a_x % 4u] = a_in1.w;
    b_tile1[b_at] = b_in0;
    b_tile1[b_at + 64u] = b_in1;
    workgroupBarrier();
    let more = k + 32u < 32u;
    if (more) {
      a_in0 = load_a(row0 + a_x, k + 32u + a_k);
      a_in1 = load_a(row0 + a_x + 16u, k + 32u + a_k);
      b_in0 = load_b_2(k + 32u + b_k, col0 + b_x);
      b_in1 = load_b_2(k + 32u + b_k + 8u, col0 + b_x);
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
      let a0 = a_tile1[ty + 9u];
      let b0 = b_tile1[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 18u];
      let b0 = b_tile1[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 27u];
      let b0 = b_tile1[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 36u];
      let b0 = b_tile1[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 45u];
      let b0 = b_tile1[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 54u];
      let b0 = b_tile1[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 63u];
      let b0 = b_tile1[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 72u];
      let b0 = b_tile1[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 81u];
      let b0 = b_tile1[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 90u];
      let b0 = b_tile1[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 99u];
      let b0 = b_tile1[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 108u];
      let b0 = b_tile1[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 117u];
      let b0 = b_tile1[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 126u];
      let b0 = b_tile1[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 135u];
      let b0 = b_tile1[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    if (more) {
      a_tile0[a_at][a_x % 4u] = a_in0.x;
      a_tile0[a_at + 9u][a_x % 4u] = a_in0.y;
      a_tile0[a_at + 18u][a_x % 4u] = a_in0.z;
      a_tile0[a_at + 27u][a_x % 4u] = a_in0.w;
      a_tile0[a_at + 4u][a_x % 4u] = a_in1.x;
      a_tile0[a_at + 13u][a_x % 4u] = a_in1.y;
      a_tile0[a_at + 22u][a_x % 4u] = a_in1.z;
      a_tile0[a_at + 31u][a_x % 4u] = a_in1.w;
      b_tile0[b_at] = b_in0;
      b_tile0[b_at + 64u] = b_in1;
    }
    workgroupBarrier();
  }
  store_out_2(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out_2(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out_2(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out_2(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
}

// A workgroup computes a 32 x 32 tile of out, 16 of k at a time; a thread owns 4 x 4 of it
// as groups of 4 x 4, 32 rows and 32 columns apart.
fn part_3(group: vec3<u32>, t: u32) {
  let tile = group;
  let row0 = tile.y * 32u;
  let col0 = tile.x * 32u;
  // Two rows for every step along the columns: neighbours read the same of A or of B, at one go.
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let a_x = t / 4u;
  let a_k = t % 4u * 4u;
  let a_at = a_k * 9u + a_x / 4u;
  var a_in0: vec4<f32>;
  var a_in1: vec4<f32>;
  let b_x = t % 8u * 4u;
  let b_k = t / 8u;
  let b_at = b_k * 8u + b_x / 4u;
  var b_in0: vec4<f32>;
  var b_in1: vec4<f32>;
  var s0_0 = vec4<f32>();
  var s1_0 = vec4<f32>();
  var s2_0 = vec4<f32>();
  var s3_0 = vec4<f32>();
  a_in0 = load_a(row0 + a_x, a_k);
  a_in1 = load_a(row0 + a_x + 16u, a_k);
  b_in0 = load_b_3(b_k, col0 + b_x);
  b_in1 = load_b_3(b_k + 8u, col0 + b_x);
  a_tile0[a_at][a_x % 4u] = a_in0.x;
  a_tile0[a_at + 9u][a_x % 4u] = a_in0.y;
  a_tile0[a_at + 18u][a_x % 4u] = a_in0.z;
  a_tile0[a_at + 27u][a_x % 4u] = a_in0.w;
  a_tile0[a_at + 4u][a_x % 4u] = a_in1.x;
  a_tile0[a_at + 13u][a_x % 4u] = a_in1.y;
  a_tile0[a_at + 22u][a_x % 4u] = a_in1.z;
  a_tile0[a_at + 31u][a_x % 4u] = a_in1.w;
  b_tile0[b_at] = b_in0;
  b_tile0[b_at + 64u] = b_in1;
  workgroupBarrier();
  for (var k = 0u; k < 32u; k += 32u) {
    a_in0 = load_a(row0 + a_x, k + 16u + a_k);
    a_in1 = load_a(row0 + a_x + 16u, k + 16u + a_k);
    b_in0 = load_b_3(k + 16u + b_k, col0 + b_x);
    b_in1 = load_b_3(k + 16u + b_k + 8u, col0 + b_x);
    {
      let a0 = a_tile0[ty];
      let b0 = b_tile0[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 9u];
      let b0 = b_tile0[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 18u];
      let b0 = b_tile0[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 27u];
      let b0 = b_tile0[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 36u];
      let b0 = b_tile0[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 45u];
      let b0 = b_tile0[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 54u];
      let b0 = b_tile0[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 63u];
      let b0 = b_tile0[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 72u];
      let b0 = b_tile0[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 81u];
      let b0 = b_tile0[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 90u];
      let b0 = b_tile0[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 99u];
      let b0 = b_tile0[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 108u];
      let b0 = b_tile0[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 117u];
      let b0 = b_tile0[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 126u];
      let b0 = b_tile0[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 135u];
      let b0 = b_tile0[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    a_tile1[a_at][a_x % 4u] = a_in0.x;
    a_tile1[a_at + 9u][a_x % 4u] = a_in0.y;
    a_tile1[a_at + 18u][a_x % 4u] = a_in0.z;
    a_tile1[a_at + 27u][a_x % 4u] = a_in0.w;
    a_tile1[a_at + 4u][a_x % 4u] = a_in1.x;
    a_tile1[a_at + 13u][a_x % 4u] = a_in1.y;
    a_tile1[a_at + 22u][a_x % 4u] = a_in1.z;
    a_tile1[a_at + 31u][a_x % 4u] = a_in1.w;
    b_tile1[b_at] = b_in0;
    b_tile1[b_at + 64u] = b_in1;
    workgroupBarrier();
    let more = k + 32u < 32u;
    if (more) {
      a_in0 = load_a(row0 + a_x, k + 32u + a_k);
      a_in1 = load_a(row0 + a_x + 16u, k + 32u + a_k);
      b_in0 = load_b_3(k + 32u + b_k, col0 + b_x);
      b_in1 = load_b_3(k + 32u + b_k + 8u, col0 + b_x);
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
      let a0 = a_tile1[ty + 9u];
      let b0 = b_tile1[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 18u];
      let b0 = b_tile1[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 27u];
      let b0 = b_tile1[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 36u];
      let b0 = b_tile1[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 45u];
      let b0 = b_tile1[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 54u];
      let b0 = b_tile1[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 63u];
      let b0 = b_tile1[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 72u];
      let b0 = b_tile1[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 81u];
      let b0 = b_tile1[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 90u];
      let b0 = b_tile1[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 99u];
      let b0 = b_tile1[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 108u];
      let b0 = b_tile1[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 117u];
      let b0 = b_tile1[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 126u];
      let b0 = b_tile1[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 135u];
      let b0 = b_tile1[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    if (more) {
      a_tile0[a_at][a_x % 4u] = a_in0.x;
      a_tile0[a_at + 9u][a_x % 4u] = a_in0.y;
      a_tile0[a_at + 18u][a_x % 4u] = a_in0.z;
      a_tile0[a_at + 27u][a_x % 4u] = a_in0.w;
      a_tile0[a_at + 4u][a_x % 4u] = a_in1.x;
      a_tile0[a_at + 13u][a_x % 4u] = a_in1.y;
      a_tile0[a_at + 22u][a_x % 4u] = a_in1.z;
      a_tile0[a_at + 31u][a_x % 4u] = a_in1.w;
      b_tile0[b_at] = b_in0;
      b_tile0[b_at + 64u] = b_in1;
    }
    workgroupBarrier();
  }
  store_out_3(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out_3(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out_3(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out_3(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
}

var<workgroup> a_tile0: array<vec4<f32>, 144>;
var<workgroup> b_tile0: array<vec4<f32>, 128>;
var<workgroup> a_tile1: array<vec4<f32>, 144>;
var<workgroup> b_tile1: array<vec4<f32>, 128>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let id = group.x;
  if (id < 4u) {
    part_1(vec3<u32>(id % 2u, id / 2u, 0u), t);
  } else if (id < 6u) {
    let n = id - 4u;
    part_2(vec3<u32>(n % 1u, n / 1u, 0u), t);
  } else {
    let n = id - 6u;
    part_3(vec3<u32>(n % 1u, n / 1u, 0u), t);
  }
}
