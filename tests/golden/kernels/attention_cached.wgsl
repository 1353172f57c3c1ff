// cached_attention: 1 x 6 heads of 64 (2 of keys), 1 query x at most 128 keys, 512 invocations for
//   each head
//   a: f32[1, 1, 128, 2, 64] = slice[limit=(1, 1, 128, 2, 64), start=(0, 0, 0, 0, 0), stride=(1, 1,
//     1, 1, 1)] kept
//   b: f32[1, 128, 2, 64] = reshape a
//   c: f32[1, 1, 128, 2, 64] = slice[limit=(2, 1, 128, 2, 64), start=(1, 0, 0, 0, 0), stride=(1, 1,
//     1, 1, 1)] kept
//   d: f32[1, 128, 2, 64] = reshape c
//   e: i32[] = add slot 1
//   result: f32[1, 1, 6, 64] = cached_attention[scale=0.125] query b d first e
// moves 134 kB, computes 205 kflop
// from golden/programs.py:243
@group(0) @binding(0) var<storage, read> kept: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> slot: array<i32>;
@group(0) @binding(2) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> first: array<i32>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

fn load_q(batch: u32, head: u32, d4: u32) -> vec4<f32> {
  return query[head * 16u + d4];
}

fn load_k(batch: u32, s: u32, head: u32, d4: u32) -> vec4<f32> {
  return kept[s * 32u + head * 16u + d4];
}

fn load_v(batch: u32, s: u32, head: u32, d4: u32) -> vec4<f32> {
  return kept[s * 32u + head * 16u + d4 + 4096u];
}

fn load_first(batch: u32) -> u32 {
  let first_0 = first[0u];
  return u32(clamp(first_0, 0i, 128i));
}

fn load_stop(batch: u32) -> u32 {
  let slot_0 = slot[0u];
  return u32(clamp(slot_0 + 1, 0i, 128i));
}

fn store_o(batch: u32, head: u32, d4: u32, val: vec4<f32>) {
  result[head * 16u + d4] = val;
}

const SCALE = 0.18033688; // scores are in powers of 2
var<workgroup> last: u32;
var<workgroup> tops: array<f32, 16>;
var<workgroup> sums: array<f32, 16>;
var<workgroup> mixed: array<vec4<f32>, 256>;

// 16 lanes read a slot of the cache, 32 slots lie side by side; each lane keeps the running maximum
// m, sum l and mean o of what it has seen, for its query head.
@compute @workgroup_size(512)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let batch = tile.z;
  let d4 = t % 16u;
  let place = t / 16u;
  let kv_head = tile.x / 3u;
  let first = load_first(batch);
  if (t == 0u) {
    last = load_stop(batch);
  }
  let stop = workgroupUniformLoad(&last);
  let q0 = load_q(batch, tile.x, d4) * SCALE;
  var m0 = -3.4028234e38;
  var l0 = 0.0;
  var o0 = vec4<f32>();
  for (var s0 = 0u; s0 < stop; s0 += 128u) {
    let s_0 = s0 + place;
    let at_0 = min(s_0, 127u);
    let k_0 = load_k(batch, at_0, kv_head, d4);
    let v_0 = load_v(batch, at_0, kv_head, d4);
    let s_1 = s0 + place + 32u;
    let at_1 = min(s_1, 127u);
    let k_1 = load_k(batch, at_1, kv_head, d4);
    let v_1 = load_v(batch, at_1, kv_head, d4);
    let s_2 = s0 + place + 64u;
    let at_2 = min(s_2, 127u);
    let k_2 = load_k(batch, at_2, kv_head, d4);
    let v_2 = load_v(batch, at_2, kv_head, d4);
    let s_3 = s0 + place + 96u;
    let at_3 = min(s_3, 127u);
    let k_3 = load_k(batch, at_3, kv_head, d4);
    let v_3 = load_v(batch, at_3, kv_head, d4);
    let seen_0 = s_0 >= first && s_0 < stop;
    let seen_1 = s_1 >= first && s_1 < stop;
    let seen_2 = s_2 >= first && s_2 < stop;
    let seen_3 = s_3 >= first && s_3 < stop;
    {
      var x0 = dot(q0, k_0);
      var x1 = dot(q0, k_1);
      var x2 = dot(q0, k_2);
      var x3 = dot(q0, k_3);
      x0 += subgroupShuffleXor(x0, 1u);
      x1 += subgroupShuffleXor(x1, 1u);
      x2 += subgroupShuffleXor(x2, 1u);
      x3 += subgroupShuffleXor(x3, 1u);
      x0 += subgroupShuffleXor(x0, 2u);
      x1 += subgroupShuffleXor(x1, 2u);
      x2 += subgroupShuffleXor(x2, 2u);
      x3 += subgroupShuffleXor(x3, 2u);
      x0 += subgroupShuffleXor(x0, 4u);
      x1 += subgroupShuffleXor(x1, 4u);
      x2 += subgroupShuffleXor(x2, 4u);
      x3 += subgroupShuffleXor(x3, 4u);
      x0 += subgroupShuffleXor(x0, 8u);
      x1 += subgroupShuffleXor(x1, 8u);
      x2 += subgroupShuffleXor(x2, 8u);
      x3 += subgroupShuffleXor(x3, 8u);
      x0 = select(-3.4028234e38, x0, seen_0);
      x1 = select(-3.4028234e38, x1, seen_1);
      x2 = select(-3.4028234e38, x2, seen_2);
      x3 = select(-3.4028234e38, x3, seen_3);
      var top = m0;
      top = max(top, x0);
      top = max(top, x1);
      top = max(top, x2);
      top = max(top, x3);
      let old = exp2(m0 - top);
      m0 = top;
      l0 *= old;
      o0 *= old;
      let p0 = select(0.0, exp2(x0 - top), seen_0);
      l0 += p0;
      o0 = fma(vec4<f32>(p0), v_0, o0);
      let p1 = select(0.0, exp2(x1 - top), seen_1);
      l0 += p1;
      o0 = fma(vec4<f32>(p1), v_1, o0);
      let p2 = select(0.0, exp2(x2 - top), seen_2);
      l0 += p2;
      o0 = fma(vec4<f32>(p2), v_2, o0);
      let p3 = select(0.0, exp2(x3 - top), seen_3);
      l0 += p3;
      o0 = fma(vec4<f32>(p3), v_3, o0);
    }
  }
  {
    let top = max(m0, subgroupShuffleXor(m0, 16u));
    let old = exp2(m0 - top);
    l0 *= old;
    o0 *= old;
    l0 += subgroupShuffleXor(l0, 16u);
    o0 += subgroupShuffleXor(o0, 16u);
    m0 = top;
  }
  let part = t / 32u;
  if (t % 32u < 16u) {
    mixed[part * 16u + d4] = o0;
    if (d4 == 0u) {
      tops[part] = m0;
      sums[part] = l0;
    }
  }
  workgroupBarrier();
  for (var i = t; i < 16u; i += 512u) {
    var top = -3.4028234e38;
    for (var p = 0u; p < 16u; p++) {
      top = max(top, tops[p]);
    }
    var total = 0.0;
    var o = vec4<f32>();
    for (var p = 0u; p < 16u; p++) {
      let share = exp2(tops[p] - top);
      total += share * sums[p];
      o += share * mixed[p * 16u + i];
    }
    store_o(batch, tile.x, i, o / select(total, 1.0, total == 0.0));
  }
}
