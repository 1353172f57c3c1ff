// matmul_add: 1 x 64, sums of 96, layout nn, 16 invocations for each 4 columns
//   a: f32[1, 96] = logistic gate
//   b: f32[1, 96] = mul gate a
//   c: f32[1, 96] = mul b up
//   d: f32[96, 64] = cast weight
//   e: f32[1, 64] = dot[spec='mk,kn->mn'] c d
//   result: f32[1, 64] = add before e
// moves 13.6 kB, computes 18.8 kflop
// from golden/programs.py:239
@group(0) @binding(0) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> before: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

fn unpack_bf16x4(words: vec2<u32>) -> vec4<f32> {
  let low = words << vec2<u32>(16u);
  let high = words & vec2<u32>(0xffff0000u);
  return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  let gate_0 = gate[k4];
  let up_0 = up[k4];
  return gate_0 * (1.0 / (1.0 + exp(-gate_0))) * up_0;
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return unpack_bf16x4(weight[k * 16u + col4]);
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  let before_0 = before[col4];
  result[col4] = before_0 + acc;
}

// Rows of A as vec4s along k.
var<workgroup> a_tile: array<vec4<f32>, 24>;

// 16 invocations share four columns of B; each reads its share of k for all rows, several loads at
// a time.
@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let lane = t / 2u;
  let quad = t % 2u;
  var b0: vec4<f32>;
  var b1: vec4<f32>;
  var b2: vec4<f32>;
  var b3: vec4<f32>;
  var b4: vec4<f32>;
  var b5: vec4<f32>;
  // Under way while A is prepared.
  let col = tile.x * 8u + quad * 4u;
  b0 = load_b(lane, col);
  b1 = load_b(lane + 16u, col);
  b2 = load_b(lane + 32u, col);
  b3 = load_b(lane + 48u, col);
  b4 = load_b(lane + 64u, col);
  b5 = load_b(lane + 80u, col);
  var s0 = vec4<f32>();
  for (var i = t; i < 24u; i += 32u) {
    a_tile[i] = load_a(0u, i * 4u);
  }
  workgroupBarrier();
  let a_at = lane / 4u;
  s0 = fma(vec4<f32>(a_tile[a_at][lane % 4u]), b0, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 4u][lane % 4u]), b1, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 8u][lane % 4u]), b2, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 12u][lane % 4u]), b3, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 16u][lane % 4u]), b4, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 20u][lane % 4u]), b5, s0);
  s0 += subgroupShuffleXor(s0, 2u);
  s0 += subgroupShuffleXor(s0, 4u);
  s0 += subgroupShuffleXor(s0, 8u);
  s0 += subgroupShuffleXor(s0, 16u);
  if (lane == 0u) {
    let col = tile.x * 8u + quad * 4u;
    store_out(0u, col, s0);
  }
}
