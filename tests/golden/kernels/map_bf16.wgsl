// map_logistic_mul: map over 8x64, 4 elements per invocation
//   a: bf16[8, 64] = logistic x
//   b: bf16[8, 64] = mul x a
//   c: bf16[8, 64] = broadcast[dims=(1,)] scale
//   result: bf16[8, 64] = mul b c
// moves 2.18 kB, computes 1.54 kflop
// from golden/programs.py:219
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> scale: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>;

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

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 128u + t;
  let x_0 = unpack_bf16x4(x[i]);
  let scale_0 = unpack_bf16x4(scale[i % 16u]);
  result[i] = pack_bf16x4(round_bf16x4(round_bf16x4(x_0 * round_bf16x4(1.0 / (1.0 + exp(-x_0))))
      * scale_0));
}
