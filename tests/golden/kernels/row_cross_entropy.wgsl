// row_eq_select_sum: 64 rows of 256, one per workgroup of 64
//   a: i32[4, 16, 256] = iota[axis=2]
//   b: i32[4, 16, 256] = broadcast[dims=(0, 1)] labels
//   c: bool[4, 16, 256] = eq a b
//   d: f32[4, 16, 256] = select c logits 0.0
//   e: f32[4, 16] = sum[axes=(2,)] d
//   f: f32[4, 16] = reduce_max[axes=(2,)] logits
//   g: f32[4, 16, 256] = broadcast[dims=(0, 1)] f
//   h: f32[4, 16, 256] = sub logits g
//   i: f32[4, 16, 256] = exp h
//   j: f32[4, 16] = sum[axes=(2,)] i
//   k: f32[4, 16] = log j
//   l: f32[4, 16] = add f k
//   result: f32[4, 16] = sub l e
// moves 66 kB, computes 115 kflop
// from golden/programs.py:113
@group(0) @binding(0) var<storage, read> labels: array<i32>;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

var<workgroup> scratch_f32: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  let labels_0 = labels[row];
  var total_part = vec4<f32>(0.0);
  var highest_part = vec4<f32>(-3.4028234e38);
  let logits_0 = logits[row * 64u + t];
  total_part += select(vec4<f32>(0.0), logits_0, vec4<i32>(t * 4u + vec4<u32>(0u, 1u, 2u, 3u))
      == vec4<i32>(labels_0));
  highest_part = max(highest_part, logits_0);
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
  var total_2_part = vec4<f32>(0.0);
  let logits_1 = logits[row * 64u + t];
  total_2_part += exp(logits_1 - highest);
  scratch_f32[t] = total_2_part.x + total_2_part.y + total_2_part.z + total_2_part.w;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] += scratch_f32[t + half];
    }
    workgroupBarrier();
  }
  let total_2 = scratch_f32[0];
  workgroupBarrier();
  if (t == 0u) {
    result[row] = highest + log(total_2) - total;
  }
}
