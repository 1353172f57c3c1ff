// attention: causal, 2 x 4 heads of 16 (2 of keys), 32 queries x 32 keys
//   result: f32[2, 32, 4, 16], a: f32[2, 4, 32] = attention[causal=True, scale=0.25] q k_in v
// moves 49.2 kB, computes 599 kflop
// from golden/programs.py:166
@group(0) @binding(0) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> k_in: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;

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

fn store_o(batch: u32, s: u32, head: u32, d: u32, val: vec4<f32>) {
  let d4 = d / 4u;
  result[batch * 512u + s * 16u + head * 4u + d4] = val;
}

var<workgroup> q_tile: array<vec4<f32>, 80>;
var<workgroup> k_tile: array<vec4<f32>, 40>;
var<workgroup> v_tile: array<vec4<f32>, 40>;
var<workgroup> p_tile: array<vec4<f32>, 48>;
var<workgroup> tops: array<f32, 128>;

// sum + dot(a, b), as four fused multiply-adds.
fn mac(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

// A workgroup owns 16 queries and takes 8 keys at a time; a thread scores 2 x 1 pairs. Each query
// keeps its running maximum m (in powers of 2) and its threads their shares of the sum l and the
// output o.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let batch = tile.z;
  let head = tile.y;
  let kv_head = head / 2u;
  let row0 = (1u - tile.x) * 16u;
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let i0 = row0 + ty;
  var m0 = -1e30;
  var l0 = 0.0;
  let i1 = row0 + ty + 8u;
  var m1 = -1e30;
  var l1 = 0.0;
  var o0_0 = vec4<f32>();
  var o1_0 = vec4<f32>();
  {
    let r = t / 4u;
    let d = t % 4u;
    q_tile[r * 5u + d] = load_q(batch, row0 + r, head, d * 4u) * 0.36067376;
  }
  let end = min(row0 + 16u, 32u);
  for (var j = 0u; j < end; j += 8u) {
    workgroupBarrier();
    if (t < 32u) {
      let r = t / 4u;
      let d = t % 4u;
      k_tile[r * 5u + d] = load_k(batch, j + r, kv_head, d * 4u);
      v_tile[r * 5u + d] = load_v(batch, j + r, kv_head, d * 4u);
    }
    workgroupBarrier();
    var s0_0 = 0.0;
    var s1_0 = 0.0;
    for (var d = 0u; d < 4u; d += 4u) {
      {
        let a0 = q_tile[ty * 5u + d];
        let a1 = q_tile[ty * 5u + d + 40u];
        let b0 = k_tile[tx * 5u + d];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = q_tile[ty * 5u + d + 1u];
        let a1 = q_tile[ty * 5u + d + 41u];
        let b0 = k_tile[tx * 5u + d + 1u];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = q_tile[ty * 5u + d + 2u];
        let a1 = q_tile[ty * 5u + d + 42u];
        let b0 = k_tile[tx * 5u + d + 2u];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = q_tile[ty * 5u + d + 3u];
        let a1 = q_tile[ty * 5u + d + 43u];
        let b0 = k_tile[tx * 5u + d + 3u];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
    }
    s0_0 = select(-3e38, s0_0, j + tx <= i0);
    s1_0 = select(-3e38, s1_0, j + tx <= i1);
    var top0 = max(s0_0, m0);
    var top1 = max(s1_0, m1);
    tops[ty * 8u + tx] = top0;
    tops[ty * 8u + tx + 64u] = top1;
    workgroupBarrier();
    top0 = max(top0, tops[ty * 8u]);
    top0 = max(top0, tops[ty * 8u + 1u]);
    top0 = max(top0, tops[ty * 8u + 2u]);
    top0 = max(top0, tops[ty * 8u + 3u]);
    top0 = max(top0, tops[ty * 8u + 4u]);
    top0 = max(top0, tops[ty * 8u + 5u]);
    top0 = max(top0, tops[ty * 8u + 6u]);
    top0 = max(top0, tops[ty * 8u + 7u]);
    top1 = max(top1, tops[ty * 8u + 64u]);
    top1 = max(top1, tops[ty * 8u + 65u]);
    top1 = max(top1, tops[ty * 8u + 66u]);
    top1 = max(top1, tops[ty * 8u + 67u]);
    top1 = max(top1, tops[ty * 8u + 68u]);
    top1 = max(top1, tops[ty * 8u + 69u]);
    top1 = max(top1, tops[ty * 8u + 70u]);
    top1 = max(top1, tops[ty * 8u + 71u]);
    let shrink0 = exp2(m0 - top0);
    m0 = top0;
    l0 *= shrink0;
    let p0_0 = exp2(s0_0 - top0);
    l0 += p0_0;
    o0_0 *= shrink0;
    let shrink1 = exp2(m1 - top1);
    m1 = top1;
    l1 *= shrink1;
    let p1_0 = exp2(s1_0 - top1);
    l1 += p1_0;
    o1_0 *= shrink1;
    p_tile[ty * 3u + tx / 4u][tx % 4u] = p0_0;
    p_tile[ty * 3u + 24u + tx / 4u][tx % 4u] = p1_0;
    workgroupBarrier();
    for (var n = 0u; n < 2u; n += 2u) {
      {
        let w0 = p_tile[ty * 3u + n];
        let w1 = p_tile[ty * 3u + n + 24u];
        let x0_0 = v_tile[n * 20u + min(tx, 3u)];
        o0_0 = fma(vec4<f32>(w0.x), x0_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.x), x0_0, o1_0);
        let x1_0 = v_tile[n * 20u + min(tx, 3u) + 5u];
        o0_0 = fma(vec4<f32>(w0.y), x1_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.y), x1_0, o1_0);
        let x2_0 = v_tile[n * 20u + min(tx, 3u) + 10u];
        o0_0 = fma(vec4<f32>(w0.z), x2_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.z), x2_0, o1_0);
        let x3_0 = v_tile[n * 20u + min(tx, 3u) + 15u];
        o0_0 = fma(vec4<f32>(w0.w), x3_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.w), x3_0, o1_0);
      }
      {
        let w0 = p_tile[ty * 3u + n + 1u];
        let w1 = p_tile[ty * 3u + n + 25u];
        let x0_0 = v_tile[n * 20u + min(tx, 3u) + 20u];
        o0_0 = fma(vec4<f32>(w0.x), x0_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.x), x0_0, o1_0);
        let x1_0 = v_tile[n * 20u + min(tx, 3u) + 25u];
        o0_0 = fma(vec4<f32>(w0.y), x1_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.y), x1_0, o1_0);
        let x2_0 = v_tile[n * 20u + min(tx, 3u) + 30u];
        o0_0 = fma(vec4<f32>(w0.z), x2_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.z), x2_0, o1_0);
        let x3_0 = v_tile[n * 20u + min(tx, 3u) + 35u];
        o0_0 = fma(vec4<f32>(w0.w), x3_0, o0_0);
        o1_0 = fma(vec4<f32>(w1.w), x3_0, o1_0);
      }
    }
  }
  workgroupBarrier();
  tops[ty * 8u + tx] = l0;
  tops[ty * 8u + tx + 64u] = l1;
  workgroupBarrier();
  l0 = tops[ty * 8u] + tops[ty * 8u + 1u] + tops[ty * 8u + 2u] + tops[ty * 8u + 3u]
      + tops[ty * 8u + 4u] + tops[ty * 8u + 5u] + tops[ty * 8u + 6u] + tops[ty * 8u + 7u];
  l1 = tops[ty * 8u + 64u] + tops[ty * 8u + 65u] + tops[ty * 8u + 66u] + tops[ty * 8u + 67u]
      + tops[ty * 8u + 68u] + tops[ty * 8u + 69u] + tops[ty * 8u + 70u] + tops[ty * 8u + 71u];
  l0 = max(l0, 1e-30);
  if (tx < 4u) { store_o(batch, i0, head, tx * 4u, o0_0 / l0); }
  l1 = max(l1, 1e-30);
  if (tx < 4u) { store_o(batch, i1, head, tx * 4u, o1_0 / l1); }
}
