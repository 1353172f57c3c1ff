// matvec: 1 x 64 + 32 + 32, sums of 64, layout nn, 16 invocations for each 4 columns
//   a: f32[1, 64] = mul x x
//   b: f32[1] = sum[axes=(1,)] a
//   c: f32[1] = mul b 0.015625
//   d: f32[1] = add c 1e-05
//   e: f32[1] = rsqrt d
//   f: f32[1, 64] = broadcast[dims=(0,)] e
//   g: f32[1, 64] = mul x f
//   h: f32[1, 64] = broadcast[dims=(1,)] scale
//   i: f32[1, 64] = mul g h
//   result_0: f32[1, 64] = dot[spec='mk,kn->mn'] i query
//   result_1: f32[1, 32] = dot[spec='mk,kn->mn'] i key
//   result_2: f32[1, 32] = dot[spec='mk,kn->mn'] i value
// moves 33.8 kB, computes 16.6 kflop
// from golden/programs.py:230, golden/programs.py:231
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> scale: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> result_0: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> result_1: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> result_2: array<vec4<f32>>;

fn load_total(row: u32, j: u32) -> vec4<f32> {
  let x_0 = x[j];
  return x_0 * x_0;
}

fn a_scale(total: f32) -> f32 {
  return inverseSqrt(total * 0.015625 + 1e-5);
}

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  let x_0 = x[k4];
  let scale_0 = scale[k4];
  return x_0 * scale_0;
}

fn load_b_0(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return query[k * 16u + col4];
}

fn store_0_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result_0[col4] = acc;
}

fn load_b_1(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return key[k * 8u + col4];
}

fn store_1_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result_1[col4] = acc;
}

fn load_b_2(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  return value[k * 8u + col4];
}

fn store_2_out(row: u32, col: u32, acc: vec4<f32>) {
  let col4 = col / 4u;
  result_2[col4] = acc;
}

var<workgroup> total_parts: array<f32, 2>;
var<workgroup> partial: array<vec4<f32>, 2>;

// 16 invocations share four columns of a matrix.
// Each holds its share of it and of A, all of which is under way at once.
@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let lane = t / 2u;
  let quad = t % 2u;
  let k = lane * 4u;
  var b0_0: vec4<f32>;
  var b0_1: vec4<f32>;
  var b0_2: vec4<f32>;
  var b0_3: vec4<f32>;
  if (tile.x < 8u) {
    let col = tile.x * 8u + quad * 4u;
    b0_0 = load_b_0(k, col);
    b0_1 = load_b_0(k + 1u, col);
    b0_2 = load_b_0(k + 2u, col);
    b0_3 = load_b_0(k + 3u, col);
  } else if (tile.x < 12u) {
    let col = (tile.x - 8u) * 8u + quad * 4u;
    b0_0 = load_b_1(k, col);
    b0_1 = load_b_1(k + 1u, col);
    b0_2 = load_b_1(k + 2u, col);
    b0_3 = load_b_1(k + 3u, col);
  } else {
    let col = (tile.x - 12u) * 8u + quad * 4u;
    b0_0 = load_b_2(k, col);
    b0_1 = load_b_2(k + 1u, col);
    b0_2 = load_b_2(k + 2u, col);
    b0_3 = load_b_2(k + 3u, col);
  }
  let a0_0 = load_a(0u, k);
  var total_in_0 = vec4<f32>(0.0);
  total_in_0 += load_total(0u, lane);
  var total_0 = total_in_0.x + total_in_0.y + total_in_0.z + total_in_0.w;
  var s0 = vec4<f32>();
  s0 = fma(vec4<f32>(a0_0.x), b0_0, s0);
  s0 = fma(vec4<f32>(a0_0.y), b0_1, s0);
  s0 = fma(vec4<f32>(a0_0.z), b0_2, s0);
  s0 = fma(vec4<f32>(a0_0.w), b0_3, s0);
  s0 += subgroupShuffleXor(s0, 2u);
  total_0 += subgroupShuffleXor(total_0, 2u);
  s0 += subgroupShuffleXor(s0, 4u);
  total_0 += subgroupShuffleXor(total_0, 4u);
  s0 += subgroupShuffleXor(s0, 8u);
  total_0 += subgroupShuffleXor(total_0, 8u);
  s0 += subgroupShuffleXor(s0, 16u);
  total_0 += subgroupShuffleXor(total_0, 16u);
  if (lane % 16u == 0u) {
    let at = lane / 16u * 2u + quad;
    partial[at] = s0;
    total_parts[at] = total_0;
  }
  workgroupBarrier();
  if (t < 2u) {
    var sum = partial[t];
    var total = total_parts[t];
    sum *= a_scale(total);
    let row = 0u;
    if (tile.x < 8u) {
      let col = tile.x * 8u + quad * 4u;
      store_0_out(row, col, sum);
    } else if (tile.x < 12u) {
      let col = (tile.x - 8u) * 8u + quad * 4u;
      store_1_out(row, col, sum);
    } else {
      let col = (tile.x - 12u) * 8u + quad * 4u;
      store_2_out(row, col, sum);
    }
  }
}
