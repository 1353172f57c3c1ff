// map_lt_add_select: map over 4x16x32, 4 elements per invocation
//   a: bool[4, 16] = lt tokens 0
//   b: i32[4, 16] = add tokens 256
//   c: i32[4, 16] = select a b tokens
//   result: f32[4, 16, 32] = take table c
// moves 41.2 kB, computes 192 flop
// from golden/programs.py:62
@group(0) @binding(0) var<storage, read> tokens: array<i32>;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 256u + t;
  let tokens_0 = tokens[i / 8u];
  let i0 = u32(min(max(select(tokens_0, tokens_0 + 256, tokens_0 < 0), 0), 255)) * 8u + i % 8u;
  let table_0 = table[i0];
  result[i] = table_0;
}
