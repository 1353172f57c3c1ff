// map_logistic_mul: map over 3x7, 4 elements per invocation
//   a: bf16[3, 7] = logistic x
//   b: bf16[3, 7] = mul x a
//   c: bf16[3, 7] = broadcast[dims=()] scale
//   result: bf16[3, 7] = mul b c
// moves 86 B, computes 63 flop
// from golden/programs.py:219
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read> scale: array<u32>;
@group(0) @binding(2) var<storage, read_write> result: array<u32>;

fn unpack_bf16(word: u32, upper: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, upper == 1u));
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

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 8u + t;
  if (i >= 6u) {
    return;
  }
  let i0 = i * 4u;
  let i1 = min(i0 + 1u, 20u);
  let i2 = min(i0 + 2u, 20u);
  let i3 = min(i0 + 3u, 20u);
  let x_0 = vec4<f32>(unpack_bf16(x[i * 2u], 0u), unpack_bf16(x[i1 / 2u], i1 % 2u),
      unpack_bf16(x[i2 / 2u], i2 % 2u), unpack_bf16(x[i3 / 2u], i3 % 2u));
  let scale_0 = unpack_bf16(scale[0u], 0u);
  let v0 = round_bf16x4(round_bf16x4(x_0 * round_bf16x4(1.0 / (1.0 + exp(-x_0)))) * scale_0);
  let words0 = pack_bf16x4(v0);
  result[i * 2u] = words0.x;
  if (i * 2u + 1u < 11u) {
    result[i * 2u + 1u] = words0.y;
  }
}
