// attention: causal, within segments, 2 x 4 heads of 16 (2 of keys), 32 queries x 32 keys
//   result: f32[2, 32, 4, 16], a: f32[2, 4, 32] = attention[causal=True, ordered=True, scale=0.25]
//     q k_in v ids ids
// moves 49.4 kB, computes 656 kflop
// from golden/programs.py:177
@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_in: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> ids: array<i32>;
@group(0) @binding(4) var<storage, read_write> result: array<vec4<f32>>;

fn load_q(batch: u32, s: u32, head: u32, d: u32) -> vec4<f32> {
  let d4 = d / 4u;
  return q[batch * 512u + s * 16u + head * 4u + d4];
}

fn load_k(batch: u32, s: u32, head: u32, d: u32) -> vec4<f32> {
  let d4 = d / 4u;
  return k_in[batch * 256u + s * 8u + head * 4u + d4];
}

fn load_v(batch: u32, s: u32, head: u32, d: u32) -> vec4<f32> {
  let d4 = d / 4u;
  return v[batch * 256u + s * 8u + head * 4u + d4];
}

fn load_query_segment(batch: u32, s: u32) -> i32 {
  return ids[batch * 32u + s];
}

fn load_key_segment(batch: u32, s: u32) -> i32 {
  return ids[batch * 32u + s];
}

fn store_o(batch: u32, s: u32, head: u32, d: u32, val: vec4<f32>) {
  let d4 = d / 4u;
  result[batch * 512u + s * 16u + head * 4u + d4] = val;
}

// sum + dot(a, b), as four fused multiply-adds.
fn mac(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

// Each lane of a subgroup owns 4 queries and keeps their running maximum m (in powers of 2), sum l
// and output o; keys and values are fetched across the lanes, 4 at a time, and handed round by
// broadcasts.
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let tile = group;
  let batch = tile.z;
  let head = tile.y;
  let kv_head = head / 2u;
  let row0 = tile.x * 32u;
  let i0 = row0 + lane;
  let query_segment0 = load_query_segment(batch, i0);
  let q0_0 = load_q(batch, i0, head, 0u) * 0.36067376;
  let q0_1 = load_q(batch, i0, head, 4u) * 0.36067376;
  let q0_2 = load_q(batch, i0, head, 8u) * 0.36067376;
  let q0_3 = load_q(batch, i0, head, 12u) * 0.36067376;
  var o0_0 = vec4<f32>();
  var o0_1 = vec4<f32>();
  var o0_2 = vec4<f32>();
  var o0_3 = vec4<f32>();
  var m0 = -1e30;
  var l0 = 0.0;
  let i1 = row0 + lane + 8u;
  let query_segment1 = load_query_segment(batch, i1);
  let q1_0 = load_q(batch, i1, head, 0u) * 0.36067376;
  let q1_1 = load_q(batch, i1, head, 4u) * 0.36067376;
  let q1_2 = load_q(batch, i1, head, 8u) * 0.36067376;
  let q1_3 = load_q(batch, i1, head, 12u) * 0.36067376;
  var o1_0 = vec4<f32>();
  var o1_1 = vec4<f32>();
  var o1_2 = vec4<f32>();
  var o1_3 = vec4<f32>();
  var m1 = -1e30;
  var l1 = 0.0;
  let i2 = row0 + lane + 16u;
  let query_segment2 = load_query_segment(batch, i2);
  let q2_0 = load_q(batch, i2, head, 0u) * 0.36067376;
  let q2_1 = load_q(batch, i2, head, 4u) * 0.36067376;
  let q2_2 = load_q(batch, i2, head, 8u) * 0.36067376;
  let q2_3 = load_q(batch, i2, head, 12u) * 0.36067376;
  var o2_0 = vec4<f32>();
  var o2_1 = vec4<f32>();
  var o2_2 = vec4<f32>();
  var o2_3 = vec4<f32>();
  var m2 = -1e30;
  var l2 = 0.0;
  let i3 = row0 + lane + 24u;
  let query_segment3 = load_query_segment(batch, i3);
  let q3_0 = load_q(batch, i3, head, 0u) * 0.36067376;
  let q3_1 = load_q(batch, i3, head, 4u) * 0.36067376;
  let q3_2 = load_q(batch, i3, head, 8u) * 0.36067376;
  let q3_3 = load_q(batch, i3, head, 12u) * 0.36067376;
  var o3_0 = vec4<f32>();
  var o3_1 = vec4<f32>();
  var o3_2 = vec4<f32>();
  var o3_3 = vec4<f32>();
  var m3 = -1e30;
  var l3 = 0.0;
  let end = min(row0 + 32u, 32u);
  // no row sees the blocks that end before its segment
  let row_segment = load_query_segment(batch, row0);
  var first = 0u;
  while (first < end && load_key_segment(batch, first + 3u) < row_segment) {
    first += 4u;
  }
  for (var j = first; j < end; j += 4u) {
    let k0 = load_k(batch, j + lane / 4u, kv_head, (lane % 4u) * 4u);
    let v0 = load_v(batch, j + lane / 4u, kv_head, (lane % 4u) * 4u);
    let k1 = load_k(batch, j + lane / 4u + 2u, kv_head, (lane % 4u) * 4u);
    let v1 = load_v(batch, j + lane / 4u + 2u, kv_head, (lane % 4u) * 4u);
    let key_segment_in = load_key_segment(batch, j + lane % 4u);
    let key_segment0 = subgroupBroadcast(key_segment_in, 0u);
    let key_segment1 = subgroupBroadcast(key_segment_in, 1u);
    let key_segment2 = subgroupBroadcast(key_segment_in, 2u);
    let key_segment3 = subgroupBroadcast(key_segment_in, 3u);
    var s0_0 = 0.0;
    var s1_0 = 0.0;
    var s2_0 = 0.0;
    var s3_0 = 0.0;
    let key0_0 = subgroupBroadcast(k0, 0u);
    s0_0 = mac(q0_0, key0_0, s0_0);
    s1_0 = mac(q1_0, key0_0, s1_0);
    s2_0 = mac(q2_0, key0_0, s2_0);
    s3_0 = mac(q3_0, key0_0, s3_0);
    let key0_1 = subgroupBroadcast(k0, 1u);
    s0_0 = mac(q0_1, key0_1, s0_0);
    s1_0 = mac(q1_1, key0_1, s1_0);
    s2_0 = mac(q2_1, key0_1, s2_0);
    s3_0 = mac(q3_1, key0_1, s3_0);
    let key0_2 = subgroupBroadcast(k0, 2u);
    s0_0 = mac(q0_2, key0_2, s0_0);
    s1_0 = mac(q1_2, key0_2, s1_0);
    s2_0 = mac(q2_2, key0_2, s2_0);
    s3_0 = mac(q3_2, key0_2, s3_0);
    let key0_3 = subgroupBroadcast(k0, 3u);
    s0_0 = mac(q0_3, key0_3, s0_0);
    s1_0 = mac(q1_3, key0_3, s1_0);
    s2_0 = mac(q2_3, key0_3, s2_0);
    s3_0 = mac(q3_3, key0_3, s3_0);
    var s0_1 = 0.0;
    var s1_1 = 0.0;
    var s2_1 = 0.0;
    var s3_1 = 0.0;
    let key1_0 = subgroupBroadcast(k0, 4u);
    s0_1 = mac(q0_0, key1_0, s0_1);
    s1_1 = mac(q1_0, key1_0, s1_1);
    s2_1 = mac(q2_0, key1_0, s2_1);
    s3_1 = mac(q3_0, key1_0, s3_1);
    let key1_1 = subgroupBroadcast(k0, 5u);
    s0_1 = mac(q0_1, key1_1, s0_1);
    s1_1 = mac(q1_1, key1_1, s1_1);
    s2_1 = mac(q2_1, key1_1, s2_1);
    s3_1 = mac(q3_1, key1_1, s3_1);
    let key1_2 = subgroupBroadcast(k0, 6u);
    s0_1 = mac(q0_2, key1_2, s0_1);
    s1_1 = mac(q1_2, key1_2, s1_1);
    s2_1 = mac(q2_2, key1_2, s2_1);
    s3_1 = mac(q3_2, key1_2, s3_1);
    let key1_3 = subgroupBroadcast(k0, 7u);
    s0_1 = mac(q0_3, key1_3, s0_1);
    s1_1 = mac(q1_3, key1_3, s1_1);
    s2_1 = mac(q2_3, key1_3, s2_1);
    s3_1 = mac(q3_3, key1_3, s3_1);
    var s0_2 = 0.0;
    var s1_2 = 0.0;
    var s2_2 = 0.0;
    var s3_2 = 0.0;
    let key2_0 = subgroupBroadcast(k1, 0u);
    s0_2 = mac(q0_0, key2_0, s0_2);
    s1_2 = mac(q1_0, key2_0, s1_2);
    s2_2 = mac(q2_0, key2_0, s2_2);
    s3_2 = mac(q3_0, key2_0, s3_2);
    let key2_1 = subgroupBroadcast(k1, 1u);
    s0_2 = mac(q0_1, key2_1, s0_2);
    s1_2 = mac(q1_1, key2_1, s1_2);
    s2_2 = mac(q2_1, key2_1, s2_2);
    s3_2 = mac(q3_1, key2_1, s3_2);
    let key2_2 = subgroupBroadcast(k1, 2u);
    s0_2 = mac(q0_2, key2_2, s0_2);
    s1_2 = mac(q1_2, key2_2, s1_2);
    s2_2 = mac(q2_2, key2_2, s2_2);
    s3_2 = mac(q3_2, key2_2, s3_2);
    let key2_3 = subgroupBroadcast(k1, 3u);
    s0_2 = mac(q0_3, key2_3, s0_2);
    s1_2 = mac(q1_3, key2_3, s1_2);
    s2_2 = mac(q2_3, key2_3, s2_2);
    s3_2 = mac(q3_3, key2_3, s3_2);
    var s0_3 = 0.0;
    var s1_3 = 0.0;
    var s2_3 = 0.0;
    var s3_3 = 0.0;
    let key3_0 = subgroupBroadcast(k1, 4u);
    s0_3 = mac(q0_0, key3_0, s0_3);
    s1_3 = mac(q1_0, key3_0, s1_3);
    s2_3 = mac(q2_0, key3_0, s2_3);
    s3_3 = mac(q3_0, key3_0, s3_3);
    let key3_1 = subgroupBroadcast(k1, 5u);
    s0_3 = mac(q0_1, key3_1, s0_3);
    s1_3 = mac(q1_1, key3_1, s1_3);
    s2_3 = mac(q2_1, key3_1, s2_3);
    s3_3 = mac(q3_1, key3_1, s3_3);
    let key3_2 = subgroupBroadcast(k1, 6u);
    s0_3 = mac(q0_2, key3_2, s0_3);
    s1_3 = mac(q1_2, key3_2, s1_3);
    s2_3 = mac(q2_2, key3_2, s2_3);
    s3_3 = mac(q3_2, key3_2, s3_3);
    let key3_3 = subgroupBroadcast(k1, 7u);
    s0_3 = mac(q0_3, key3_3, s0_3);
    s1_3 = mac(q1_3, key3_3, s1_3);
    s2_3 = mac(q2_3, key3_3, s2_3);
    s3_3 = mac(q3_3, key3_3, s3_3);
    s0_0 = select(-3e38, s0_0, j <= i0 && key_segment0 == query_segment0);
    s0_1 = select(-3e38, s0_1, j + 1u <= i0 && key_segment1 == query_segment0);
    s0_2 = select(-3e38, s0_2, j + 2u <= i0 && key_segment2 == query_segment0);
    s0_3 = select(-3e38, s0_3, j + 3u <= i0 && key_segment3 == query_segment0);
    let top0 = max(s0_0, max(s0_1, max(s0_2, max(s0_3, m0))));
    let shrink0 = exp2(m0 - top0);
    m0 = top0;
    l0 *= shrink0;
    let p0_0 = exp2(s0_0 - top0);
    l0 += p0_0;
    let p0_1 = exp2(s0_1 - top0);
    l0 += p0_1;
    let p0_2 = exp2(s0_2 - top0);
    l0 += p0_2;
    let p0_3 = exp2(s0_3 - top0);
    l0 += p0_3;
    s1_0 = select(-3e38, s1_0, j <= i1 && key_segment0 == query_segment1);
    s1_1 = select(-3e38, s1_1, j + 1u <= i1 && key_segment1 == query_segment1);
    s1_2 = select(-3e38, s1_2, j + 2u <= i1 && key_segment2 == query_segment1);
    s1_3 = select(-3e38, s1_3, j + 3u <= i1 && key_segment3 == query_segment1);
    let top1 = max(s1_0, max(s1_1, max(s1_2, max(s1_3, m1))));
    let shrink1 = exp2(m1 - top1);
    m1 = top1;
    l1 *= shrink1;
    let p1_0 = exp2(s1_0 - top1);
    l1 += p1_0;
    let p1_1 = exp2(s1_1 - top1);
    l1 += p1_1;
    let p1_2 = exp2(s1_2 - top1);
    l1 += p1_2;
    let p1_3 = exp2(s1_3 - top1);
    l1 += p1_3;
    s2_0 = select(-3e38, s2_0, j <= i2 && key_segment0 == query_segment2);
    s2_1 = select(-3e38, s2_1, j + 1u <= i2 && key_segment1 == query_segment2);
    s2_2 = select(-3e38, s2_2, j + 2u <= i2 && key_segment2 == query_segment2);
    s2_3 = select(-3e38, s2_3, j + 3u <= i2 && key_segment3 == query_segment2);
    let top2 = max(s2_0, max(s2_1, max(s2_2, max(s2_3, m2))));
    let shrink2 = exp2(m2 - top2);
    m2 = top2;
    l2 *= shrink2;
    let p2_0 = exp2(s2_0 - top2);
    l2 += p2_0;
    let p2_1 = exp2(s2_1 - top2);
    l2 += p2_1;
    let p2_2 = exp2(s2_2 - top2);
    l2 += p2_2;
    let p2_3 = exp2(s2_3 - top2);
    l2 += p2_3;
    s3_0 = select(-3e38, s3_0, j <= i3 && key_segment0 == query_segment3);
    s3_1 = select(-3e38, s3_1, j + 1u <= i3 && key_segment1 == query_segment3);
    s3_2 = select(-3e38, s3_2, j + 2u <= i3 && key_segment2 == query_segment3);
    s3_3 = select(-3e38, s3_3, j + 3u <= i3 && key_segment3 == query_segment3);
    let top3 = max(s3_0, max(s3_1, max(s3_2, max(s3_3, m3))));
    let shrink3 = exp2(m3 - top3);
    m3 = top3;
    l3 *= shrink3;
    let p3_0 = exp2(s3_0 - top3);
    l3 += p3_0;
    let p3_1 = exp2(s3_1 - top3);
    l3 += p3_1;
    let p3_2 = exp2(s3_2 - top3);
    l3 += p3_2;
    let p3_3 = exp2(s3_3 - top3);
    l3 += p3_3;
    let value0_0 = subgroupBroadcast(v0, 0u);
    let value1_0 = subgroupBroadcast(v0, 4u);
    let value2_0 = subgroupBroadcast(v1, 0u);
    let value3_0 = subgroupBroadcast(v1, 4u);
    o0_0 *= shrink0;
    o0_0 = fma(vec4<f32>(p0_0), value0_0, o0_0);
    o0_0 = fma(vec4<f32>(p0_1), value1_0, o0_0);
    o0_0 = fma(vec4<f32>(p0_2), value2_0, o0_0);
    o0_0 = fma(vec4<f32>(p0_3), value3_0, o0_0);
    o1_0 *= shrink1;
    o1_0 = fma(vec4<f32>(p1_0), value0_0, o1_0);
    o1_0 = fma(vec4<f32>(p1_1), value1_0, o1_0);
    o1_0 = fma(vec4<f32>(p1_2), value2_0, o1_0);
    o1_0 = fma(vec4<f32>(p1_3), value3_0, o1_0);
    o2_0 *= shrink2;
    o2_0 = fma(vec4<f32>(p2_0), value0_0, o2_0);
    o2_0 = fma(vec4<f32>(p2_1), value1_0, o2_0);
    o2_0 = fma(vec4<f32>(p2_2), value2_0, o2_0);
    o2_0 = fma(vec4<f32>(p2_3), value3_0, o2_0);
    o3_0 *= shrink3;
    o3_0 = fma(vec4<f32>(p3_0), value0_0, o3_0);
    o3_0 = fma(vec4<f32>(p3_1), value1_0, o3_0);
    o3_0 = fma(vec4<f32>(p3_2), value2_0, o3_0);
    o3_0 = fma(vec4<f32>(p3_3), value3_0, o3_0);
    let value0_1 = subgroupBroadcast(v0, 1u);
    let value1_1 = subgroupBroadcast(v0, 5u);
    let value2_1 = subgroupBroadcast(v1, 1u);
    let value3_1 = subgroupBroadcast(v1, 5u);
    o0_1 *= shrink0;
    o0_1 = fma(vec4<f32>(p0_0), value0_1, o0_1);
    o0_1 = fma(vec4<f32>(p0_1), value1_1, o0_1);
    o0_1 = fma(vec4<f32>(p0_2), value2_1, o0_1);
    o0_1 = fma(vec4<f32>(p0_3), value3_1, o0_1);
    o1_1 *= shrink1;
    o1_1 = fma(vec4<f32>(p1_0), value0_1, o1_1);
    o1_1 = fma(vec4<f32>(p1_1), value1_1, o1_1);
    o1_1 = fma(vec4<f32>(p1_2), value2_1, o1_1);
    o1_1 = fma(vec4<f32>(p1_3), value3_1, o1_1);
    o2_1 *= shrink2;
    o2_1 = fma(vec4<f32>(p2_0), value0_1, o2_1);
    o2_1 = fma(vec4<f32>(p2_1), value1_1, o2_1);
    o2_1 = fma(vec4<f32>(p2_2), value2_1, o2_1);
    o2_1 = fma(vec4<f32>(p2_3), value3_1, o2_1);
    o3_1 *= shrink3;
    o3_1 = fma(vec4<f32>(p3_0), value0_1, o3_1);
    o3_1 = fma(vec4<f32>(p3_1), value1_1, o3_1);
    o3_1 = fma(vec4<f32>(p3_2), value2_1, o3_1);
    o3_1 = fma(vec4<f32>(p3_3), value3_1, o3_1);
    let value0_2 = subgroupBroadcast(v0, 2u);
    let value1_2 = subgroupBroadcast(v0, 6u);
    let value2_2 = subgroupBroadcast(v1, 2u);
    let value3_2 = subgroupBroadcast(v1, 6u);
    o0_2 *= shrink0;
    o0_2 = fma(vec4<f32>(p0_0), value0_2, o0_2);
    o0_2 = fma(vec4<f32>(p0_1), value1_2, o0_2);
    o0_2 = fma(vec4<f32>(p0_2), value2_2, o0_2);
    o0_2 = fma(vec4<f32>(p0_3), value3_2, o0_2);
    o1_2 *= shrink1;
    o1_2 = fma(vec4<f32>(p1_0), value0_2, o1_2);
    o1_2 = fma(vec4<f32>(p1_1), value1_2, o1_2);
    o1_2 = fma(vec4<f32>(p1_2), value2_2, o1_2);
    o1_2 = fma(vec4<f32>(p1_3), value3_2, o1_2);
    o2_2 *= shrink2;
    o2_2 = fma(vec4<f32>(p2_0), value0_2, o2_2);
    o2_2 = fma(vec4<f32>(p2_1), value1_2, o2_2);
    o2_2 = fma(vec4<f32>(p2_2), value2_2, o2_2);
    o2_2 = fma(vec4<f32>(p2_3), value3_2, o2_2);
    o3_2 *= shrink3;
    o3_2 = fma(vec4<f32>(p3_0), value0_2, o3_2);
    o3_2 = fma(vec4<f32>(p3_1), value1_2, o3_2);
    o3_2 = fma(vec4<f32>(p3_2), value2_2, o3_2);
    o3_2 = fma(vec4<f32>(p3_3), value3_2, o3_2);
    let value0_3 = subgroupBroadcast(v0, 3u);
    let value1_3 = subgroupBroadcast(v0, 7u);
    let value2_3 = subgroupBroadcast(v1, 3u);
    let value3_3 = subgroupBroadcast(v1, 7u);
    o0_3 *= shrink0;
    o0_3 = fma(vec4<f32>(p0_0), value0_3, o0_3);
    o0_3 = fma(vec4<f32>(p0_1), value1_3, o0_3);
    o0_3 = fma(vec4<f32>(p0_2), value2_3, o0_3);
    o0_3 = fma(vec4<f32>(p0_3), value3_3, o0_3);
    o1_3 *= shrink1;
    o1_3 = fma(vec4<f32>(p1_0), value0_3, o1_3);
    o1_3 = fma(vec4<f32>(p1_1), value1_3, o1_3);
    o1_3 = fma(vec4<f32>(p1_2), value2_3, o1_3);
    o1_3 = fma(vec4<f32>(p1_3), value3_3, o1_3);
    o2_3 *= shrink2;
    o2_3 = fma(vec4<f32>(p2_0), value0_3, o2_3);
    o2_3 = fma(vec4<f32>(p2_1), value1_3, o2_3);
    o2_3 = fma(vec4<f32>(p2_2), value2_3, o2_3);
    o2_3 = fma(vec4<f32>(p2_3), value3_3, o2_3);
    o3_3 *= shrink3;
    o3_3 = fma(vec4<f32>(p3_0), value0_3, o3_3);
    o3_3 = fma(vec4<f32>(p3_1), value1_3, o3_3);
    o3_3 = fma(vec4<f32>(p3_2), value2_3, o3_3);
    o3_3 = fma(vec4<f32>(p3_3), value3_3, o3_3);
  }
  l0 = max(l0, 1e-30);
  store_o(batch, i0, head, 0u, o0_0 / l0);
  store_o(batch, i0, head, 4u, o0_1 / l0);
  store_o(batch, i0, head, 8u, o0_2 / l0);
  store_o(batch, i0, head, 12u, o0_3 / l0);
  l1 = max(l1, 1e-30);
  store_o(batch, i1, head, 0u, o1_0 / l1);
  store_o(batch, i1, head, 4u, o1_1 / l1);
  store_o(batch, i1, head, 8u, o1_2 / l1);
  store_o(batch, i1, head, 12u, o1_3 / l1);
  l2 = max(l2, 1e-30);
  store_o(batch, i2, head, 0u, o2_0 / l2);
  store_o(batch, i2, head, 4u, o2_1 / l2);
  store_o(batch, i2, head, 8u, o2_2 / l2);
  store_o(batch, i2, head, 12u, o2_3 / l2);
  l3 = max(l3, 1e-30);
  store_o(batch, i3, head, 0u, o3_0 / l3);
  store_o(batch, i3, head, 4u, o3_1 / l3);
  store_o(batch, i3, head, 8u, o3_2 / l3);
  store_o(batch, i3, head, 12u, o3_3 / l3);
}
