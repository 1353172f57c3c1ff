// map_cast_mul: map over 8x64, 4 elements per invocation
//   a: f32[8, 64] = cast x
//   b: f32[8, 64] = cast y
//   c: f32[8, 64] = mul a b
//   result: half[8, 64] = cast c
// moves 3.07 kB, computes 2.05 kflop
// from golden/programs.py:94
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read> y: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec2<u32>>;

fn unpack_halfx4(words: vec2<u32>) -> vec4<f32> {
  return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn pack_halfx4(v: vec4<f32>) -> vec2<u32> {
  return vec2<u32>(pack2x16float(v.xy), pack2x16float(v.zw));
}

fn round_half(x: f32) -> f32 {
  return unpack2x16float(pack2x16float(vec2<f32>(x, 0.0))).x;
}

fn round_halfx4(v: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(round_half(v.x), round_half(v.y), round_half(v.z), round_half(v.w));
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 128u + t;
  let x_0 = unpack_halfx4(x[i]);
  let y_0 = unpack_halfx4(y[i]);
  result[i] = pack_halfx4(round_halfx4(x_0 * y_0));
}
