// map_add_le_select: map over 16x32, 4 elements per invocation
//   a: i32[16] = iota[axis=0]
//   b: i32[16, 1] = reshape a
//   c: i32[32] = iota[axis=0]
//   d: i32[1, 32] = reshape c
//   e: i32[16, 1] = add b 16
//   f: i32[16, 32] = broadcast[dims=(0, 1)] d
//   g: i32[16, 32] = broadcast[dims=(0, 1)] e
//   h: bool[16, 32] = le f g
//   result: f32[16, 32] = select h scores -1e+09
// moves 4.1 kB, computes 1.04 kflop
// from golden/programs.py:85, golden/programs.py:86
@group(0) @binding(0) var<storage, read> scores: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 128u + t;
  let v0 = vec4<i32>(i32(i / 8u) + 16) >= vec4<i32>(i % 8u * 4u + vec4<u32>(0u, 1u, 2u, 3u));
  let scores_0 = scores[i];
  result[i] = select(vec4<f32>(-1e9), scores_0, v0);
}
