// row_max_sub_exp: 32 rows of 256, one per invocation
//   a: f32[32] = reduce_max[axes=(1,)] logits
//   b: f32[32, 256] = broadcast[dims=(0,)] a
//   c: f32[32, 256] = sub logits b
//   d: f32[32, 256] = exp c
//   e: f32[32] = sum[axes=(1,)] d
//   f: f32[32, 256] = broadcast[dims=(0,)] e
//   g: f32[32, 256] = div d f
//   h: i32[32, 256] = iota[axis=1]
//   i: i32[32, 256] = broadcast[dims=(0,)] labels
//   j: bool[32, 256] = eq h i
//   k: f32[32, 256] = cast j
//   result: f32[32, 256] = sub g k
// moves 65.7 kB, computes 65.5 kflop
// from golden/programs.py:117
@group(0) @binding(0) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x * 8u + t;
  var highest_part = vec4<f32>(-3.4028234e38);
  for (var j = 0u; j < 64u; j++) {
    let logits_0 = logits[row * 64u + j];
    highest_part = max(highest_part, logits_0);
  }
  let highest = max(max(highest_part.x, highest_part.y), max(highest_part.z, highest_part.w));
  var total_part = vec4<f32>(0.0);
  for (var j = 0u; j < 64u; j++) {
    let logits_1 = logits[row * 64u + j];
    total_part += exp(logits_1 - highest);
  }
  let total = total_part.x + total_part.y + total_part.z + total_part.w;
  let labels_0 = labels[row];
  for (var j = 0u; j < 64u; j++) {
    let i0 = row * 64u + j;
    let logits_2 = logits[i0];
    let v0 = exp(logits_2 - highest);
    let v1 = vec4<f32>(vec4<i32>(labels_0) == vec4<i32>(j * 4u + vec4<u32>(0u, 1u, 2u, 3u)));
    result[i0] = v0 / total - v1;
  }
}
