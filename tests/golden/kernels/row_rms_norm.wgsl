// row_mul_sum_add: 64 rows of 64, one per invocation
//   a: f32[4, 16, 64] = mul x x
//   b: f32[4, 16] = sum[axes=(2,)] a
//   c: f32[4, 16] = mul b 0.015625
//   d: f32[4, 16] = add c 1e-05
//   e: f32[4, 16] = rsqrt d
//   f: f32[4, 16, 64] = broadcast[dims=(0, 1)] e
//   g: f32[4, 16, 64] = mul x f
//   h: f32[4, 16, 64] = broadcast[dims=(2,)] weight
//   result: f32[4, 16, 64] = mul g h
// moves 33 kB, computes 16.6 kflop
// from golden/programs.py:105
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&x), 1u);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x * 8u + t;
  var total_part = vec4<f32>(0.0);
  for (var j = 0u; j < rolled(16u); j++) {
    let x_0 = x[row * 16u + j];
    total_part += x_0 * x_0;
  }
  let total = total_part.x + total_part.y + total_part.z + total_part.w;
  let v0 = inverseSqrt(total * 0.015625 + 1e-5);
  for (var j = 0u; j < rolled(16u); j++) {
    let i0 = row * 16u + j;
    let x_1 = x[i0];
    let weight_0 = weight[j];
    result[i0] = x_1 * v0 * weight_0;
  }
}
