// scatter_add: 40 updates stored to rows of 64x8
//   a: bool[40] = lt ids 0
//   b: i32[40] = add ids 64
//   c: i32[40] = select a b ids
//   result: f32[64, 8] = scatter[combine='add', unique=True] 0.0 c rows
// moves 3.49 kB, computes 440 flop
// from golden/programs.py:190
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

// The result holds zeros when this begins. An index below 0 is a huge u32.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 64u + t;
  if (i >= 80u) {
    return;
  }
  let ids_0 = ids[i / 2u];
  let row = u32(select(ids_0, ids_0 + 64, ids_0 < 0));
  if (row < 64u) {
    let rows_0 = rows[i];
    result[row * 2u + i % 2u] = rows_0;
  }
}
