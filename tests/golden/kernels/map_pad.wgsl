// map_copy: map over 8x16, 4 elements per invocation
//   result: f32[8, 16] = pad[high=(1, 4), interior=(0, 0), low=(1, 4), value=0.0] x
// moves 704 B, computes 0 flop
// from golden/programs.py:58
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 32u + t;
  let i0 = i / 4u;
  let i1 = i % 4u;
  let x_0 = x[min(i0 - 1u, 5u) * 2u + min(i1 - 1u, 1u)];
  result[i] = select(vec4<f32>(0.0), x_0, i0 >= 1u && i0 < 7u && (i1 >= 1u && i1 < 3u));
}
