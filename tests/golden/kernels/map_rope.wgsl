// map_cast_mul_sub: map over 2x16x4x32, 4 elements per invocation
//   a: f32[2, 16, 4, 2, 16] = reshape x
//   b: i32[2, 16, 4, 2, 16] = iota[axis=3]
//   c: f32[2, 16, 4, 2, 16] = cast b
//   d: f32[2, 16, 4, 2, 16] = mul c 2.0
//   e: f32[2, 16, 4, 2, 16] = sub d 1.0
//   f: f32[2, 16, 4, 2, 16] = rev[axes=(3,)] a
//   g: f32[2, 16, 4, 2, 16] = mul f e
//   h: f32[2, 16, 4, 2, 16] = broadcast[dims=(1, 4)] cos_in
//   i: f32[2, 16, 4, 2, 16] = broadcast[dims=(1, 4)] sin_in
//   j: f32[2, 16, 4, 2, 16] = mul a h
//   k: f32[2, 16, 4, 2, 16] = mul g i
//   l: f32[2, 16, 4, 2, 16] = add j k
//   result: f32[2, 16, 4, 32] = reshape l
// moves 34.8 kB, computes 28.7 kflop
// from golden/programs.py:66
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> cos_in: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> sin_in: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 256u + t;
  let x_0 = x[i];
  let i0 = i % 4u;
  let i1 = i / 32u % 16u * 4u + i0;
  let cos_in_0 = cos_in[i1];
  let i2 = i / 4u % 2u;
  let x_1 = x[i / 8u * 8u + i0 - i2 * 4u + 4u];
  let sin_in_0 = sin_in[i1];
  result[i] = x_0 * cos_in_0 + x_1 * (f32(i32(i2)) * 2.0 - 1.0) * sin_in_0;
}
