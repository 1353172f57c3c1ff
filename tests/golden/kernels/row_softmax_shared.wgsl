// row_max_sub_exp: 32 rows of 512, one per workgroup of 128
//   a: f32[32] = reduce_max[axes=(1,)] x
//   b: f32[32, 512] = broadcast[dims=(0,)] a
//   c: f32[32, 512] = sub x b
//   d: f32[32, 512] = exp c
//   e: f32[32] = sum[axes=(1,)] d
//   f: f32[32, 512] = broadcast[dims=(0,)] e
//   result: f32[32, 512] = div d f
// moves 131 kB, computes 81.9 kflop
// from golden/programs.py:101
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

var<workgroup> scratch_f32: array<f32, 128>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  var highest_part = vec4<f32>(-3.4028234e38);
  let x_0 = x[row * 128u + t];
  highest_part = max(highest_part, x_0);
  scratch_f32[t] = max(max(highest_part.x, highest_part.y), max(highest_part.z, highest_part.w));
  workgroupBarrier();
  for (var half = 64u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] = max(scratch_f32[t], scratch_f32[t + half]);
    }
    workgroupBarrier();
  }
  let highest = scratch_f32[0];
  workgroupBarrier();
  var total_part = vec4<f32>(0.0);
  let x_1 = x[row * 128u + t];
  total_part += exp(x_1 - highest);
  scratch_f32[t] = total_part.x + total_part.y + total_part.z + total_part.w;
  workgroupBarrier();
  for (var half = 64u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] += scratch_f32[t + half];
    }
    workgroupBarrier();
  }
  let total = scratch_f32[0];
  workgroupBarrier();
  let i0 = row * 128u + t;
  let x_2 = x[i0];
  let v0 = exp(x_2 - highest);
  result[i0] = v0 / total;
}
