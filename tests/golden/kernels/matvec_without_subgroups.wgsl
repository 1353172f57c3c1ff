// matmul: 1 x 512, sums of 64, layout nt, 16 invocations for each 4 columns
//   a: f32[64, 512] = transpose[perm=(1, 0)] embedding
//   result: f32[1, 512] = dot[spec='mk,kn->mn'] x a
// moves 133 kB, computes 65.5 kflop
// from golden/programs.py:235
@group(0) @binding(0) var<storage, read> embedding: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> result: array<vec4<f32>>;

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  return x[k4];
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let k4 = k / 4u;
  return embedding[col * 16u + k4];
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result[col4] = acc;
}

// Rows of A as vec4s along k.
var<workgroup> a_tile: array<vec4<f32>, 16>;
var<workgroup> partial: array<vec4<f32>, 32>;

// 16 invocations share four columns of B; each reads its share of k for all rows, several loads at
// a time.
@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let lane = t % 16u;
  let quad = t / 16u;
  var b0_0: vec4<f32>;
  var b0_1: vec4<f32>;
  var b0_2: vec4<f32>;
  var b0_3: vec4<f32>;
  // Under way while A is prepared.
  let col = tile.x * 8u + quad * 4u;
  b0_0 = load_b(lane * 4u, col);
  b0_1 = load_b(lane * 4u, col + 1u);
  b0_2 = load_b(lane * 4u, col + 2u);
  b0_3 = load_b(lane * 4u, col + 3u);
  var s0 = vec4<f32>();
  for (var i = t; i < 16u; i += 32u) {
    a_tile[i] = load_a(0u, i * 4u);
  }
  workgroupBarrier();
  let a_at = lane;
  let a0_0 = a_tile[a_at];
  s0 += vec4<f32>(dot(a0_0, b0_0), dot(a0_0, b0_1), dot(a0_0, b0_2), dot(a0_0, b0_3));
  partial[lane * 2u + quad] = s0;
  workgroupBarrier();
  for (var i = t; i < 2u; i += 32u) {
    var sum = partial[i];
    for (var p = 1u; p < 16u; p++) {
      sum += partial[p * 2u + i];
    }
    let row = 0u;
    let quad = i;
    let col = tile.x * 8u + quad * 4u;
    store_out(row, col, sum);
  }
}
