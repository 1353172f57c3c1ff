// map_cast_mul: map over 8x64, 4 elements per invocation
//   a: f32[8, 64] = cast x
//   b: f32[8, 64] = cast y
//   c: f32[8, 64] = mul a b
//   result: f16[8, 64] = cast c
// moves 3.07 kB, computes 2.05 kflop
// from golden/programs.py:94
enable f16;
@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> y: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f16>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 64u + t;
  let x_0 = x[i];
  let y_0 = y[i];
  result[i] = vec4<f16>(vec4<f32>(x_0) * vec4<f32>(y_0));
}
