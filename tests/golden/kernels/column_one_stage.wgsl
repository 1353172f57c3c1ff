// column_sum: 48 results over columns of 64
//   result: f32[48] = sum[axes=(0,)] cotangent
// moves 12.5 kB, computes 3.07 kflop
// from golden/programs.py:132
@group(0) @binding(0) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 8u + t;
  if (i >= 12u) {
    return;
  }
  var total = vec4<f32>(0.0);
  for (var r = 0u; r < 64u; r++) {
    let cotangent_0 = cotangent[r * 12u + i];
    total += cotangent_0;
  }
  result[i] = total;
}
