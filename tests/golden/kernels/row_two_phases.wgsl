// row_sum_mul_sub: 9 rows of 21, one per invocation
//   a: f32[9] = sum[axes=(1,)] x
//   b: f32[9, 1] = reshape a
//   c: f32[9, 1] = mul b 0.04761905
//   d: f32[9, 21] = broadcast[dims=(0, 1)] c
//   e: f32[9, 21] = sub x d
//   f: f32[9, 21] = mul e e
//   g: f32[9] = sum[axes=(1,)] f
//   h: f32[9] = mul g 0.04761905
//   result: f32[9] = sqrt h
// moves 792 B, computes 783 flop
// from golden/programs.py:121
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x * 16u + t;
  if (row >= 9u) {
    return;
  }
  var total_part = 0.0;
  for (var j = 0u; j < 21u; j++) {
    let x_0 = x[row * 21u + j];
    total_part += x_0;
  }
  let total = total_part;
  let v0 = total * 0.04761905;
  var total_2_part = 0.0;
  for (var j = 0u; j < 21u; j++) {
    let x_1 = x[row * 21u + j];
    let v1 = x_1 - v0;
    total_2_part += v1 * v1;
  }
  let total_2 = total_2_part;
  result[row] = sqrt(total_2 * 0.04761905);
}
