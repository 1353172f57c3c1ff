// row_max_sub_exp: 32 rows of 48, one per invocation
//   a: f32[32] = reduce_max[axes=(1,)] x
//   b: f32[32, 48] = broadcast[dims=(0,)] a
//   c: f32[32, 48] = sub x b
//   d: f32[32, 48] = exp c
//   e: f32[32] = sum[axes=(1,)] d
//   f: f32[32, 48] = broadcast[dims=(0,)] e
//   result: f32[32, 48] = div d f
// moves 12.3 kB, computes 7.68 kflop
// from golden/programs.py:101
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&x), 1u);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x * 8u + t;
  var highest_part = vec4<f32>(-3.4028234e38);
  for (var j = 0u; j < rolled(12u); j++) {
    let x_0 = x[row * 12u + j];
    highest_part = max(highest_part, x_0);
  }
  let highest = max(max(highest_part.x, highest_part.y), max(highest_part.z, highest_part.w));
  var total_part = vec4<f32>(0.0);
  for (var j = 0u; j < rolled(12u); j++) {
    let x_1 = x[row * 12u + j];
    total_part += exp(x_1 - highest);
  }
  let total = total_part.x + total_part.y + total_part.z + total_part.w;
  for (var j = 0u; j < rolled(12u); j++) {
    let i0 = row * 12u + j;
    let x_2 = x[i0];
    let v0 = exp(x_2 - highest);
    result[i0] = v0 / total;
  }
}
