// row_max: 2 rows of 1001, one per workgroup of 64
//   result: f32[2] = reduce_max[axes=(1,)] x
// moves 8.02 kB, computes 2 kflop
// from golden/programs.py:125
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<f32>;

// n, in words that hide it: the driver would unroll the loop and compile it for seconds.
fn rolled(n: u32) -> u32 {
  return n * min(arrayLength(&x), 1u);
}

var<workgroup> scratch_f32: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  var highest_part = -3.4028234e38;
  for (var j = t; j < rolled(1001u); j += 64u) {
    let x_0 = x[row * 1001u + j];
    highest_part = max(highest_part, x_0);
  }
  scratch_f32[t] = highest_part;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] = max(scratch_f32[t], scratch_f32[t + half]);
    }
    workgroupBarrier();
  }
  let highest = scratch_f32[0];
  workgroupBarrier();
  if (t == 0u) {
    result[row] = highest;
  }
}
