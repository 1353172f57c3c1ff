// update_lt_add_select: 1x16 elements of 32x16, in place
//   a: bool[] = lt position 0
//   b: i32[] = add position 32
//   c: i32[] = select a b position
//   cache': f32[32, 16] = dynamic_update cache new_in c 0
// moves 4.16 kB, computes 3 flop
// from golden/programs.py:90
@group(0) @binding(0) var<storage, read> position: array<i32>;
@group(0) @binding(1) var<storage, read_write> cache: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> new_in: array<vec4<f32>>;

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 4u + t;
  let new_in_0 = new_in[i];
  let position_0 = position[0u];
  let i0 = u32(min(max(select(position_0, position_0 + 32, position_0 < 0), 0), 31));
  cache[i0 * 4u + i] = new_in_0;
}
