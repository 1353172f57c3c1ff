// runs_add: 9001x4 results, each over its own run of 5000x4 values
//   a: i32[8192] = reshape selected
//   b: i32[5000] = slice[limit=(5000,), start=(0,), stride=(1,)] a
//   c: f32[5000, 4] = take cotangent b
//   d: i32[9001] = slice[limit=(9001,), start=(0,), stride=(1,)] selected_b
//   e: i32[9001] = slice[limit=(9002,), start=(1,), stride=(1,)] selected_b
//   result: f32[9001, 4] = runs[combine='add', longest=5000] 0.0 d e c
// moves 293 kB, computes 20 kflop
// from golden/programs.py:194
@group(0) @binding(0) var<storage, read> selected: array<i32>;
@group(0) @binding(1) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> selected_b: array<i32>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 8u + t;
  if (i >= 9001u) {
    return;
  }
  let selected_b_0 = selected_b[i];
  let selected_b_1 = selected_b[i + 1u];
  var total = vec4<f32>(0.0);
  for (var k = u32(selected_b_0); k < u32(selected_b_1); k++) {
    let selected_0 = selected[k];
    let cotangent_0 = cotangent[u32(min(max(selected_0, 0), 4999))];
    total += cotangent_0;
  }
  result[i] = total;
}
