// column_sum: 128x16 results over columns of 32
//   a: f32[128, 32, 16] = reshape cotangent
//   result: f32[128, 16] = sum[axes=(1,)] a
// moves 270 kB, computes 65.5 kflop
// from golden/programs.py:132
@group(0) @binding(0) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 64u + t;
  var total = vec4<f32>(0.0);
  for (var r = 0u; r < 32u; r++) {
    let cotangent_0 = cotangent[i / 4u * 128u + r * 4u + i % 4u];
    total = total + cotangent_0;
  }
  result[i] = total;
}
