// column_mul_sum_and_2_more: 3 kernels side by side
// part_1: 32 results over columns of 64
//   a: f32[64, 32] = mul x x
//   result_0: f32[32] = sum[axes=(0,)] a
// moves 8.32 kB, computes 4.1 kflop
// from golden/programs.py:212
// part_2: map over 50, 1 element per invocation
//   result_1: f32[50] = exp bias
// moves 400 B, computes 50 flop
// from golden/programs.py:212
// part_3: 64 rows of 32, one per invocation
//   a: f32[64] = sum[axes=(1,)] x
//   b: f32[64, 1] = reshape a
//   c: f32[64, 32] = broadcast[dims=(0, 1)] b
//   result_2: f32[64, 32] = mul x c
// moves 16.4 kB, computes 4.1 kflop
// from golden/programs.py:212
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result_0: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> result_1: array<f32>;
@group(0) @binding(4) var<storage, read_write> result_2: array<vec4<f32>>;

fn part_1(group: vec3<u32>, t: u32) {
  let i = group.x * 256u + t;
  if (i >= 8u) {
    return;
  }
  var total = vec4<f32>(0.0);
  for (var r = 0u; r < 64u; r++) {
    let x_0 = x[r * 8u + i];
    total += x_0 * x_0;
  }
  result_0[i] = total;
}

fn part_2(group: vec3<u32>, t: u32) {
  let i = group.x * 256u + t;
  if (i >= 50u) {
    return;
  }
  let bias_0 = bias[i];
  result_1[i] = exp(bias_0);
}

fn part_3(group: vec3<u32>, t: u32) {
  let row = group.x * 256u + t;
  if (row >= 64u) {
    return;
  }
  var total_part = vec4<f32>(0.0);
  for (var j = 0u; j < 8u; j++) {
    let x_0 = x[row * 8u + j];
    total_part += x_0;
  }
  let total = total_part.x + total_part.y + total_part.z + total_part.w;
  for (var j = 0u; j < 8u; j++) {
    let i0 = row * 8u + j;
    let x_1 = x[i0];
    result_2[i0] = x_1 * total;
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let id = group.x;
  if (id < 1u) {
    part_1(vec3<u32>(id, 0u, 0u), t);
  } else if (id < 2u) {
    part_2(vec3<u32>(id - 1u, 0u, 0u), t);
  } else {
    part_3(vec3<u32>(id - 2u, 0u, 0u), t);
  }
}
