// map_copy: map over 6x20, 4 elements per invocation
//   a: f32[6, 8] = slice[limit=(6, 16), start=(0, 8), stride=(1, 1)] left
//   result: f32[6, 20] = concat[axis=1] a right
// moves 1.15 kB, computes 0 flop
// from golden/programs.py:54
@group(0) @binding(0) var<storage, read> left: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> right: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 32u + t;
  if (i >= 30u) {
    return;
  }
  let i0 = i % 5u;
  let i1 = i / 5u;
  let left_0 = left[i1 * 4u + min(i0, 1u) + 2u];
  let right_0 = right[i1 * 3u + min(i0 - 2u, 2u)];
  result[i] = select(right_0, left_0, i0 < 2u);
}
