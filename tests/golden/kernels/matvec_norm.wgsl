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

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let k4 = k / 4u;
  let x_0 = x[k4];
  let scale_0 = scale[k4];
  return x_0 * inverseSqrt(total[row] * 0.015625 + 1e-5) * scale_0;
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

// Rows of A as vec4s along k.
var<workgroup> a_tile: array<vec4<f32>, 16>;
var<workgroup> total: array<f32, 1>;
var<workgroup> total_parts: array<f32, 1>;

// 16 invocations share four columns of a matrix; each reads its share of k for all rows, several
// loads at a time.
@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let lane = t / 2u;
  let quad = t % 2u;
  var b0: vec4<f32>;
  var b1: vec4<f32>;
  var b2: vec4<f32>;
  var b3: vec4<f32>;
  // Under way while A is prepared.
  if (tile.x < 8u) {
    let col = tile.x * 8u + quad * 4u;
    b0 = load_b_0(lane, col);
    b1 = load_b_0(lane + 16u, col);
    b2 = load_b_0(lane + 32u, col);
    b3 = load_b_0(lane + 48u, col);
  } else if (tile.x < 12u) {
    let col = (tile.x - 8u) * 8u + quad * 4u;
    b0 = load_b_1(lane, col);
    b1 = load_b_1(lane + 16u, col);
    b2 = load_b_1(lane + 32u, col);
    b3 = load_b_1(lane + 48u, col);
  } else {
    let col = (tile.x - 12u) * 8u + quad * 4u;
    b0 = load_b_2(lane, col);
    b1 = load_b_2(lane + 16u, col);
    b2 = load_b_2(lane + 32u, col);
    b3 = load_b_2(lane + 48u, col);
  }
  for (var row = 0u; row < 1u; row++) {
    var part = vec4<f32>(0.0);
    for (var j = t; j < 16u; j += 32u) {
      part += load_total(row, j);
    }
    var whole = part.x + part.y + part.z + part.w;
    whole += subgroupShuffleXor(whole, 1u);
    whole += subgroupShuffleXor(whole, 2u);
    whole += subgroupShuffleXor(whole, 4u);
    whole += subgroupShuffleXor(whole, 8u);
    whole += subgroupShuffleXor(whole, 16u);
    if (t % 32u == 0u) {
      total_parts[row * 1u + t / 32u] = whole;
    }
  }
  workgroupBarrier();
  if (t < 1u) {
    var total_whole = 0.0;
    for (var p = 0u; p < 1u; p++) {
      total_whole += total_parts[t * 1u + p];
    }
    total[t] = total_whole;
  }
  workgroupBarrier();
  var s0 = vec4<f32>();
  for (var i = t; i < 16u; i += 32u) {
    a_tile[i] = load_a(0u, i * 4u);
  }
  workgroupBarrier();
  let a_at = lane / 4u;
  s0 = fma(vec4<f32>(a_tile[a_at][lane % 4u]), b0, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 4u][lane % 4u]), b1, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 8u][lane % 4u]), b2, s0);
  s0 = fma(vec4<f32>(a_tile[a_at + 12u][lane % 4u]), b3, s0);
  s0 += subgroupShuffleXor(s0, 2u);
  s0 += subgroupShuffleXor(s0, 4u);
  s0 += subgroupShuffleXor(s0, 8u);
  s0 += subgroupShuffleXor(s0, 16u);
  if (lane == 0u) {
    if (tile.x < 8u) {
      let col = tile.x * 8u + quad * 4u;
      store_0_out(0u, col, s0);
    } else if (tile.x < 12u) {
      let col = (tile.x - 8u) * 8u + quad * 4u;
      store_1_out(0u, col, s0);
    } else {
      let col = (tile.x - 12u) * 8u + quad * 4u;
      store_2_out(0u, col, s0);
    }
  }
}
