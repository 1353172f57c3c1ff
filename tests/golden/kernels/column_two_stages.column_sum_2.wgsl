// column_sum_2: 16 results over columns of 128
//   result: f32[16] = sum[axes=(0,)] sums
// moves 8.26 kB, computes 2.05 kflop
// from golden/programs.py:132
@group(0) @binding(0) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 4u + t;
  var total = vec4<f32>(0.0);
  for (var r = 0u; r < 128u; r++) {
    let sums_0 = sums[r * 4u + i];
    total += sums_0;
  }
  result[i] = total;
}
