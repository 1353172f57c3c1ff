// row_mul_sum_add: 64 rows of 256, one per workgroup of 64
//   a: f32[64, 256] = mul x x
//   b: f32[64] = sum[axes=(1,)] a
//   c: f32[64] = mul b 0.00390625
//   d: f32[64] = add c 1e-05
//   e: f32[64] = rsqrt d
//   f: f32[64, 256] = broadcast[dims=(0,)] e
//   g: f32[64, 256] = mul x f
//   ... 2 more ...
//   j: f32[64, 256] = mul i g
//   k: f32[64] = sum[axes=(1,)] j
//   l: f32[64] = mul k 0.00390625
//   m: f32[64, 256] = broadcast[dims=(0,)] l
//   n: f32[64, 256] = mul g m
//   o: f32[64, 256] = sub i n
//   result: f32[64, 256] = mul o f
// moves 198 kB, computes 148 kflop
// from golden/programs.py:109
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;

var<workgroup> scratch_f32: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  var total_part = vec4<f32>(0.0);
  let x_0 = x[row * 64u + t];
  total_part += x_0 * x_0;
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
  let v0 = inverseSqrt(total * 0.00390625 + 1e-5);
  var total_2_part = vec4<f32>(0.0);
  let i0 = row * 64u + t;
  let cotangent_0 = cotangent[i0];
  let weight_0 = weight[t];
  let x_1 = x[i0];
  total_2_part += cotangent_0 * weight_0 * (x_1 * v0);
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
  let v1 = total_2 * 0.00390625;
  let i1 = row * 64u + t;
  let cotangent_1 = cotangent[i1];
  let weight_1 = weight[t];
  let v2 = cotangent_1 * weight_1;
  let x_2 = x[i1];
  let v3 = x_2 * v0;
  result[i1] = (v2 - v3 * v1) * v0;
}
