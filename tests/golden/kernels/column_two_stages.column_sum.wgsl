// column_sum: 128x16 results over columns of 32
//   a: f32[128, 32, 16] = reshape cotangent
//   result: f32[128, 16] = sum[axes=(1,)] a
// moves 270 kB, computes 65.5 kflop
// from golden/programs.py:132
@group(0) @binding(0) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

var<workgroup> scratch_f32: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 8u + t % 8u;
  let lane = t / 8u;
  var total_part = vec4<f32>(0.0);
  // As many steps for every invocation, so that the loop can be unrolled.
  for (var start = 0u; start < 32u; start += 8u) {
    let r = start + lane;
    let cotangent_0 = cotangent[i / 4u * 128u + r * 4u + i % 4u];
    total_part += cotangent_0;
  }
  scratch_f32[t] = total_part;
  workgroupBarrier();
  for (var half = 4u; half > 0u; half /= 2u) {
    if (lane < half) {
      scratch_f32[t] += scratch_f32[t + half * 8u];
    }
    workgroupBarrier();
  }
  let total = scratch_f32[t % 8u];
  if (lane == 0u) {
    result[i] = total;
  }
}
