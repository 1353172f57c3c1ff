// matmul_add_lt_select: 64 x 64, sums of 48, layout nn, tile 64 x 32, 32 deep
//   a: f32[64, 48] = cast x
//   b: f32[48, 64] = cast weight
//   c: f32[64, 64] = dot[spec='mk,kn->mn'] a b
//   d: bf16[64, 64] = cast c
//   e: bf16[64, 64] = broadcast[dims=(1,)] bias
//   f: bf16[64, 64] = add d e
//   g: bool[64, 64] = lt 0 f
//   result: bf16[64, 64] = select g f 0
// moves 20.6 kB, computes 416 kflop
// from golden/programs.py:223
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec2<u32>>;

fn unpack_bf16x4(words: vec2<u32>) -> vec4<f32> {
  let low = words << vec2<u32>(16u);
  let high = words & vec2<u32>(0xffff0000u);
  return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn pack_bf16x4(v: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(v);
  return (bits.xz >> vec2<u32>(16u)) | (bits.yw & vec2<u32>(0xffff0000u));
}

// To the nearest value with 8 bits, ties to even; what is not a number stays so.
fn round_bf16x4(x: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(x);
  let rounded = bits + vec4<u32>(0x7fffu) + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u));
  let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
  let chosen = select(rounded, bits | vec4<u32>(0x400000u), is_nan);
  return bitcast<vec4<f32>>(chosen & vec4<u32>(0xffff0000u));
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  let x_0 = unpack_bf16x4(x[row * 12u + min(k4, 11u)]);
  return select(vec4<f32>(0.0), x_0, k4 < 12u);
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  let weight_0 = unpack_bf16x4(weight[min(k, 47u) * 16u + col4]);
  return select(vec4<f32>(0.0), weight_0, k < 48u);
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  let bias_0 = unpack_bf16x4(bias[col4]);
  let v0 = round_bf16x4(round_bf16x4(acc) + bias_0);
  result[row * 16u + col4] = pack_bf16x4(select(vec4<f32>(0.0), v0, vec4<f32>(0.0) < v0));
}

// Two buffers per operand, k outermost: the loads of a tile are in flight while the other is used.
var<workgroup> a_tile0: array<vec4<f32>, 272>;
var<workgroup> b_tile0: array<vec4<f32>, 128>;
var<workgroup> a_tile1: array<vec4<f32>, 272>;
var<workgroup> b_tile1: array<vec4<f32>, 128>;

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
  let b_x = t % 8u * 4u;
  let b_k = t / 8u;
  let b_at = b_k * 8u + b_x / 4u;
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
  b_tile0[b_at] = b_in0;
  workgroupBarrier();
  for (var k = 0u; k < 48u; k += 32u) {
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
      let b0 = b_tile0[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 34u];
      let b0 = b_tile0[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 51u];
      let b0 = b_tile0[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 68u];
      let b0 = b_tile0[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 85u];
      let b0 = b_tile0[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 102u];
      let b0 = b_tile0[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 119u];
      let b0 = b_tile0[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 136u];
      let b0 = b_tile0[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 153u];
      let b0 = b_tile0[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 170u];
      let b0 = b_tile0[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 187u];
      let b0 = b_tile0[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 204u];
      let b0 = b_tile0[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 221u];
      let b0 = b_tile0[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 238u];
      let b0 = b_tile0[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 255u];
      let b0 = b_tile0[tx + 120u];
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
    b_tile1[b_at] = b_in0;
    workgroupBarrier();
    let more = k + 32u < 48u;
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
      let b0 = b_tile1[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 34u];
      let b0 = b_tile1[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 51u];
      let b0 = b_tile1[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 68u];
      let b0 = b_tile1[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 85u];
      let b0 = b_tile1[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 102u];
      let b0 = b_tile1[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 119u];
      let b0 = b_tile1[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 136u];
      let b0 = b_tile1[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 153u];
      let b0 = b_tile1[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 170u];
      let b0 = b_tile1[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 187u];
      let b0 = b_tile1[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 204u];
      let b0 = b_tile1[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 221u];
      let b0 = b_tile1[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 238u];
      let b0 = b_tile1[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 255u];
      let b0 = b_tile1[tx + 120u];
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
      b_tile0[b_at] = b_in0;
    }
    workgroupBarrier();
  }
  store_out(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
}
