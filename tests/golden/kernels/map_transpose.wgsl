// map_add: map over 40x24, 4 elements per invocation
//   a: f32[40, 24] = transpose[perm=(1, 0)] x
//   result: f32[40, 24] = add a 1.0
// moves 7.68 kB, computes 960 flop
// from golden/programs.py:81
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 256u + t;
  if (i >= 240u) {
    return;
  }
  let i0 = i % 6u * 160u + i / 6u;
  let x_0 = vec4<f32>(x[i0], x[i0 + 40u], x[i0 + 80u], x[i0 + 120u]);
  result[i] = x_0 + 1.0;
}
