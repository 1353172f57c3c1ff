// map_mul_add: map over 5x7, 1 element per invocation
//   a: f32[5, 7] = broadcast[dims=(0, 1)] scale
//   b: f32[5, 7] = mul x a
//   c: f32[5, 7] = broadcast[dims=(1,)] bias
//   result: f32[5, 7] = add b c
// moves 328 B, computes 70 flop
// from golden/programs.py:50
@group(0) @binding(0) var<storage, read> scale: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 64u + t;
  if (i >= 35u) {
    return;
  }
  let x_0 = x[i];
  let scale_0 = scale[i / 7u];
  let bias_0 = bias[i % 7u];
  result[i] = x_0 * scale_0 + bias_0;
}
