// matmul_add: 1 x 64, sums of 96, layout nn, 24 invocations for each 4 columns
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

fn load_early(row: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return before[col4];
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

fn store_out(row: u32, col: u32, early: vec4<f32>, acc: vec4<f32>) {
  let col4 = col / 4u;
  result[col4] = early + acc;
}

var<workgroup> partial: array<vec4<f32>, 12>;

// 24 invocations share four columns of B.
// Each holds its share of it and of A, all of which is under way at once.
@compute @workgroup_size(96)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let lane = t / 4u;
  let quad = t % 4u;
  let k = lane * 4u;
  var b0_0: vec4<f32>;
  var b0_1: vec4<f32>;
  var b0_2: vec4<f32>;
  var b0_3: vec4<f32>;
  let col = tile.x * 16u + quad * 4u;
  b0_0 = load_b(k, col);
  b0_1 = load_b(k + 1u, col);
  b0_2 = load_b(k + 2u, col);
  b0_3 = load_b(k + 3u, col);
  let a0_0 = load_a(0u, k);
  var early = vec4<f32>();
  if (t < 4u) {
    let row = 0u;
    let col = tile.x * 16u + quad * 4u;
    early = load_early(row, col);
  }
  var s0 = vec4<f32>();
  s0 = fma(vec4<f32>(a0_0.x), b0_0, s0);
  s0 = fma(vec4<f32>(a0_0.y), b0_1, s0);
  s0 = fma(vec4<f32>(a0_0.z), b0_2, s0);
  s0 = fma(vec4<f32>(a0_0.w), b0_3, s0);
  s0 += subgroupShuffleXor(s0, 4u);
  s0 += subgroupShuffleXor(s0, 8u);
  s0 += subgroupShuffleXor(s0, 16u);
  if (lane % 8u == 0u) {
    let at = lane / 8u * 4u + quad;
    partial[at] = s0;
  }
  workgroupBarrier();
  if (t < 4u) {
    var sum = partial[t];
    for (var p = 1u; p < 3u; p++) {
      sum += partial[p * 4u + t];
    }
    let row = 0u;
    let col = tile.x * 16u + quad * 4u;
    store_out(row, col, early, sum);
  }
}
