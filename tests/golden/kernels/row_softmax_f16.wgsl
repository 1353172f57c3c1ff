// row_max_sub_exp: 16 rows of 256, one per workgroup of 64
//   a: f16[16] = reduce_max[axes=(1,)] x
//   b: f16[16, 256] = broadcast[dims=(0,)] a
//   c: f16[16, 256] = sub x b
//   d: f16[16, 256] = exp c
//   e: f16[16] = sum[axes=(1,)] d
//   f: f16[16, 256] = broadcast[dims=(0,)] e
//   result: f16[16, 256] = div d f
// moves 16.4 kB, computes 20.5 kflop
// from golden/programs.py:101
enable f16;
@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f16>>;

var<workgroup> scratch_f32: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  var highest_part = vec4<f32>(-3.4028234e38);
  let x_0 = x[row * 64u + t];
  highest_part = max(highest_part, vec4<f32>(x_0));
  scratch_f32[t] = max(max(highest_part.x, highest_part.y), max(highest_part.z, highest_part.w));
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] = max(scratch_f32[t], scratch_f32[t + half]);
    }
    workgroupBarrier();
  }
  let highest = scratch_f32[0];
  workgroupBarrier();
  let v0 = f16(highest);
  var total_part = vec4<f32>(0.0);
  let x_1 = x[row * 64u + t];
  total_part += vec4<f32>(exp(x_1 - v0));
  scratch_f32[t] = total_part.x + total_part.y + total_part.z + total_part.w;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] += scratch_f32[t + half];
    }
    workgroupBarrier();
  }
  let total = scratch_f32[0];
  workgroupBarrier();
  let v1 = f16(total);
  let i0 = row * 64u + t;
  let x_2 = x[i0];
  let v2 = exp(x_2 - v0);
  result[i0] = v2 / v1;
}
