// row_max_sub_exp: 512 rows of 4096, one per workgroup of 256
//   a: f32[512] = reduce_max[axes=(1,)] x
//   b: f32[512, 4096] = broadcast[dims=(0,)] a
//   c: f32[512, 4096] = sub x b
//   d: f32[512, 4096] = exp c
//   e: f32[512] = sum[axes=(1,)] d
//   f: f32[512, 4096] = broadcast[dims=(0,)] e
//   result: f32[512, 4096] = div d f
// moves 16.8 MB, computes 10.5 Mflop
// from golden/programs.py:101
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

var<workgroup> scratch_f32: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  var x_held: array<vec4<f32>, 4>;
  var highest_part = vec4<f32>(-3.4028234e38);
  for (var visit = 0u; visit < 4u; visit++) {
    let j = visit * 256u + t;
    let x_0 = x[row * 1024u + j];
    x_held[visit] = x_0;
    highest_part = max(highest_part, x_0);
  }
  scratch_f32[t] = max(max(highest_part.x, highest_part.y), max(highest_part.z, highest_part.w));
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] = max(scratch_f32[t], scratch_f32[t + half]);
    }
    workgroupBarrier();
  }
  let highest = scratch_f32[0];
  workgroupBarrier();
  var total_part = vec4<f32>(0.0);
  for (var visit = 0u; visit < 4u; visit++) {
    total_part += exp(x_held[visit] - highest);
  }
  scratch_f32[t] = total_part.x + total_part.y + total_part.z + total_part.w;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] += scratch_f32[t + half];
    }
    workgroupBarrier();
  }
  let total = scratch_f32[0];
  workgroupBarrier();
  for (var visit = 0u; visit < 4u; visit++) {
    let j = visit * 256u + t;
    let v0 = exp(x_held[visit] - highest);
    let i0 = row * 1024u + j;
    result[i0] = v0 / total;
  }
}
