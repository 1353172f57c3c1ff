// map_logistic_mul: map over 8x64, 4 elements per invocation
//   a: f32[8, 64] = logistic gate
//   b: f32[8, 64] = mul gate a
//   result: f32[8, 64] = mul b up
// moves 6.14 kB, computes 1.54 kflop
// from golden/programs.py:46
@group(0) @binding(0) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 128u + t;
  let gate_0 = gate[i];
  let up_0 = up[i];
  result[i] = gate_0 * (1.0 / (1.0 + exp(-gate_0))) * up_0;
}
