// scatter_add: 50x24 results, 64 invocations a row, each row looking through 30 indices
//   a: bool[30] = lt ids 0
//   b: i32[30] = add ids 50
//   c: i32[30] = select a b ids
//   result: f32[50, 24] = scatter[combine='add'] 0.0 c cotangent
// moves 7.8 kB, computes 810 flop
// from golden/programs.py:194
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

var<workgroup> hits: array<atomic<u32>, 2>;

// A workgroup looks at 64 indices at a time and combines the updates it finds for its row, each
// invocation in columns of its own.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let g = group.x;
  var total = vec4<f32>(0.0);
  for (var k = 0u; k < 30u; k += 64u) {
    let j = min(k + t, 29u);
    let ids_0 = ids[j];
    let named = k + t < 30u && g == u32(select(ids_0, ids_0 + 50, ids_0 < 0));
    if (t < 2u) {
      atomicStore(&hits[t], 0u);
    }
    workgroupBarrier();
    if (named) {
      atomicOr(&hits[t / 32u], 1u << (t % 32u));
    }
    workgroupBarrier();
    for (var word = 0u; word < 2u; word++) {
      var bits = atomicLoad(&hits[word]);
      while (bits != 0u) {
        let n = k + word * 32u + firstTrailingBit(bits);
        bits &= bits - 1u;
        if (t < 6u) {
          let cotangent_0 = cotangent[n * 6u + t];
          total += cotangent_0;
        }
      }
    }
    workgroupBarrier();
  }
  if (t < 6u) {
    result[g * 6u + t] = total;
  }
}
