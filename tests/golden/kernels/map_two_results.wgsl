// map_cos_mul_sin: map over 100, 4 elements per invocation
//   a: f32[100] = cos angle
//   result_0: f32[100] = mul radius a
//   b: f32[100] = sin angle
//   result_1: f32[100] = mul radius b
// moves 1.6 kB, computes 400 flop
// from golden/programs.py:70
@group(0) @binding(0) var<storage, read> angle: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> radius: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result_0: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result_1: array<vec4<f32>>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 32u + t;
  if (i >= 25u) {
    return;
  }
  let radius_0 = radius[i];
  let angle_0 = angle[i];
  result_0[i] = radius_0 * cos(angle_0);
  result_1[i] = radius_0 * sin(angle_0);
}
