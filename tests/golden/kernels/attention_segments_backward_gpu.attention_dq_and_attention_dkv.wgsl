// attention_dq_and_attention_dkv: 2 kernels side by side
// part_1: causal, within segments, 2 x 4 heads of 16 (2 of keys), 32 queries x 32 keys
//   a: f32[2, 4, 32] = transpose[perm=(0, 2, 1)] sums
//   result_0: f32[2, 32, 4, 16] = attention_dq[causal=True, ordered=True, scale=0.25] q k_in v
//     cotangent lse a ids ids
// moves 67.8 kB, computes 913 kflop
// from golden/programs.py:177
// part_2: causal, within segments, 2 x 4 heads of 16 (2 of keys), 32 queries x 32 keys
//   a: f32[2, 4, 32] = transpose[perm=(0, 2, 1)] sums
//   result_1: f32[2, 32, 2, 16], result_2: f32[2, 32, 2, 16] = attention_dkv[causal=True,
//     ordered=True, scale=0.25] q k_in v cotangent lse a ids ids
// moves 67.8 kB, computes 1.18 Mflop
// from golden/programs.py:177
@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k_in: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> cotangent: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> ids: array<i32>;
@group(0) @binding(7) var<storage, read_write> result_0: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> result_1: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read_write> result_2: array<vec4<f32>>;

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

fn load_do(batch: u32, s: u32, head: u32, d: u32) -> vec4<f32> {
  let d4 = d / 4u;
  return cotangent[batch * 512u + s * 16u + head * 4u + d4];
}

fn load_lse(batch: u32, head: u32, s: u32) -> f32 {
  return lse[batch * 128u + head * 32u + s];
}

fn load_delta(batch: u32, head: u32, s: u32) -> f32 {
  return sums[batch * 128u + s * 4u + head];
}

fn load_query_segment(batch: u32, s: u32) -> i32 {
  return ids[batch * 32u + s];
}

fn load_key_segment(batch: u32, s: u32) -> i32 {
  return ids[batch * 32u + s];
}

fn store_dq(batch: u32, s: u32, head: u32, d: u32, val: vec4<f32>) {
  let d4 = d / 4u;
  result_0[batch * 512u + s * 16u + head * 4u + d4] = val;
}

// sum + dot(a, b), as four fused multiply-adds.
fn mac(a: vec4<f32>, b: vec4<f32>, sum: f32) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

fn store_dk(batch: u32, s: u32, head: u32, d: u32, val: vec4<f32>) {
  let d4 = d / 4u;
  result_1[batch * 256u + s * 8u + head * 4u + d4] = val;
}

fn store_dv(batch: u32, s: u32, head: u32, d: u32, val: vec4<f32>) {
  let d4 = d / 4u;
  result_2[batch * 256u + s * 8u + head * 4u + d4] = val;
}

// A workgroup owns 16 queries and takes 8 keys at a time; a thread holds 2 x 1 pairs and its share
// of dq. Scores are in powers of 2.
fn part_1(group: vec3<u32>, t: u32) {
  let tile = group;
  let batch = tile.z;
  let head = tile.y;
  let kv_head = head / 2u;
  let row0 = (1u - tile.x) * 16u;
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let i0 = row0 + ty;
  let query_segment0 = load_query_segment(batch, i0);
  let lse0 = load_lse(batch, head, i0) * 1.442695;
  let delta0 = load_delta(batch, head, i0);
  let i1 = row0 + ty + 8u;
  let query_segment1 = load_query_segment(batch, i1);
  let lse1 = load_lse(batch, head, i1) * 1.442695;
  let delta1 = load_delta(batch, head, i1);
  var dq0_0 = vec4<f32>();
  var dq1_0 = vec4<f32>();
  {
    let r = t / 4u;
    let d = t % 4u;
    row_a_tile[r * 5u + d] = load_q(batch, row0 + r, head, d * 4u) * 0.36067376;
    row_b_tile[r * 5u + d] = load_do(batch, row0 + r, head, d * 4u);
  }
  let end = min(row0 + 16u, 32u);
  // no row sees the blocks that end before its segment
  let row_segment = load_query_segment(batch, row0);
  var first = 0u;
  while (first < end && load_key_segment(batch, first + 7u) < row_segment) {
    first += 8u;
  }
  for (var j = first; j < end; j += 8u) {
    workgroupBarrier();
    if (t < 32u) {
      let r = t / 4u;
      let d = t % 4u;
      column_a_tile[r * 5u + d] = load_k(batch, j + r, kv_head, d * 4u);
      column_b_tile[r * 5u + d] = load_v(batch, j + r, kv_head, d * 4u);
    }
    workgroupBarrier();
    var s0_0 = 0.0;
    var s1_0 = 0.0;
    var dp0_0 = 0.0;
    var dp1_0 = 0.0;
    for (var d = 0u; d < 4u; d += 4u) {
      {
        let a0 = row_a_tile[ty * 5u + d];
        let a1 = row_a_tile[ty * 5u + d + 40u];
        let b0 = column_a_tile[tx * 5u + d];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = row_b_tile[ty * 5u + d];
        let a1 = row_b_tile[ty * 5u + d + 40u];
        let b0 = column_b_tile[tx * 5u + d];
        dp0_0 = mac(a0, b0, dp0_0);
        dp1_0 = mac(a1, b0, dp1_0);
      }
      {
        let a0 = row_a_tile[ty * 5u + d + 1u];
        let a1 = row_a_tile[ty * 5u + d + 41u];
        let b0 = column_a_tile[tx * 5u + d + 1u];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = row_b_tile[ty * 5u + d + 1u];
        let a1 = row_b_tile[ty * 5u + d + 41u];
        let b0 = column_b_tile[tx * 5u + d + 1u];
        dp0_0 = mac(a0, b0, dp0_0);
        dp1_0 = mac(a1, b0, dp1_0);
      }
      {
        let a0 = row_a_tile[ty * 5u + d + 2u];
        let a1 = row_a_tile[ty * 5u + d + 42u];
        let b0 = column_a_tile[tx * 5u + d + 2u];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = row_b_tile[ty * 5u + d + 2u];
        let a1 = row_b_tile[ty * 5u + d + 42u];
        let b0 = column_b_tile[tx * 5u + d + 2u];
        dp0_0 = mac(a0, b0, dp0_0);
        dp1_0 = mac(a1, b0, dp1_0);
      }
      {
        let a0 = row_a_tile[ty * 5u + d + 3u];
        let a1 = row_a_tile[ty * 5u + d + 43u];
        let b0 = column_a_tile[tx * 5u + d + 3u];
        s0_0 = mac(a0, b0, s0_0);
        s1_0 = mac(a1, b0, s1_0);
      }
      {
        let a0 = row_b_tile[ty * 5u + d + 3u];
        let a1 = row_b_tile[ty * 5u + d + 43u];
        let b0 = column_b_tile[tx * 5u + d + 3u];
        dp0_0 = mac(a0, b0, dp0_0);
        dp1_0 = mac(a1, b0, dp1_0);
      }
    }
    let key_segment0 = load_key_segment(batch, j + tx);
    let p0_0 = select(0.0, exp2(s0_0 - lse0), j + tx <= i0 && key_segment0 == query_segment0);
    let ds0_0 = p0_0 * (dp0_0 - delta0);
    let p1_0 = select(0.0, exp2(s1_0 - lse1), j + tx <= i1 && key_segment0 == query_segment1);
    let ds1_0 = p1_0 * (dp1_0 - delta1);
    for (var n = 0u; n < 8u; n++) {
      let lane = t % 32u - 2u * tx + 2u * n;
      {
        let x0 = column_a_tile[n * 5u + min(tx, 3u)];
        let w0 = subgroupShuffle(ds0_0, lane);
        dq0_0 = fma(vec4<f32>(w0), x0, dq0_0);
        let w1 = subgroupShuffle(ds1_0, lane);
        dq1_0 = fma(vec4<f32>(w1), x0, dq1_0);
      }
    }
  }
  if (tx < 4u) { store_dq(batch, i0, head, tx * 4u, dq0_0 * 0.25); }
  if (tx < 4u) { store_dq(batch, i1, head, tx * 4u, dq1_0 * 0.25); }
}

// A workgroup owns 16 keys (rows of k and v) and takes 8 queries at a time (columns: q and do), of
// every head that reads them; a thread holds 2 x 1 pairs and its shares of dk and dv. Scores are in
// powers of 2.
fn part_2(group: vec3<u32>, t: u32) {
  let tile = group;
  let batch = tile.z;
  let kv_head = tile.y;
  let row0 = tile.x * 16u;
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let j0 = row0 + ty;
  let key_segment0 = load_key_segment(batch, j0);
  let j1 = row0 + ty + 8u;
  let key_segment1 = load_key_segment(batch, j1);
  var dk0_0 = vec4<f32>();
  var dk1_0 = vec4<f32>();
  var dv0_0 = vec4<f32>();
  var dv1_0 = vec4<f32>();
  {
    let r = t / 4u;
    let d = t % 4u;
    row_a_tile[r * 5u + d] = load_k(batch, row0 + r, kv_head, d * 4u) * 0.36067376;
    row_b_tile[r * 5u + d] = load_v(batch, row0 + r, kv_head, d * 4u);
  }
  let last = load_key_segment(batch, row0 + 15u);
  for (var head = kv_head * 2u; head < kv_head * 2u + 2u; head++) {
    for (var i = row0 / 8u * 8u; i < 32u && load_query_segment(batch, i) <= last; i += 8u) {
      workgroupBarrier();
      if (t < 32u) {
        let r = t / 4u;
        let d = t % 4u;
        column_a_tile[r * 5u + d] = load_q(batch, i + r, head, d * 4u);
        column_b_tile[r * 5u + d] = load_do(batch, i + r, head, d * 4u);
      }
      workgroupBarrier();
      let i0 = i + tx;
      let query_segment0 = load_query_segment(batch, i0);
      let lse0 = load_lse(batch, head, i0) * 1.442695;
      let delta0 = load_delta(batch, head, i0);
      var s0_0 = 0.0;
      var s1_0 = 0.0;
      var dp0_0 = 0.0;
      var dp1_0 = 0.0;
      for (var d = 0u; d < 4u; d += 4u) {
        {
          let a0 = row_a_tile[ty * 5u + d];
          let a1 = row_a_tile[ty * 5u + d + 40u];
          let b0 = column_a_tile[tx * 5u + d];
          s0_0 = mac(a0, b0, s0_0);
          s1_0 = mac(a1, b0, s1_0);
        }
        {
          let a0 = row_b_tile[ty * 5u + d];
          let a1 = row_b_tile[ty * 5u + d + 40u];
          let b0 = column_b_tile[tx * 5u + d];
          dp0_0 = mac(a0, b0, dp0_0);
          dp1_0 = mac(a1, b0, dp1_0);
        }
        {
          let a0 = row_a_tile[ty * 5u + d + 1u];
          let a1 = row_a_tile[ty * 5u + d + 41u];
          let b0 = column_a_tile[tx * 5u + d + 1u];
          s0_0 = mac(a0, b0, s0_0);
          s1_0 = mac(a1, b0, s1_0);
        }
        {
          let a0 = row_b_tile[ty * 5u + d + 1u];
          let a1 = row_b_tile[ty * 5u + d + 41u];
          let b0 = column_b_tile[tx * 5u + d + 1u];
          dp0_0 = mac(a0, b0, dp0_0);
          dp1_0 = mac(a1, b0, dp1_0);
        }
        {
          let a0 = row_a_tile[ty * 5u + d + 2u];
          let a1 = row_a_tile[ty * 5u + d + 42u];
          let b0 = column_a_tile[tx * 5u + d + 2u];
          s0_0 = mac(a0, b0, s0_0);
          s1_0 = mac(a1, b0, s1_0);
        }
        {
          let a0 = row_b_tile[ty * 5u + d + 2u];
          let a1 = row_b_tile[ty * 5u + d + 42u];
          let b0 = column_b_tile[tx * 5u + d + 2u];
          dp0_0 = mac(a0, b0, dp0_0);
          dp1_0 = mac(a1, b0, dp1_0);
        }
        {
          let a0 = row_a_tile[ty * 5u + d + 3u];
          let a1 = row_a_tile[ty * 5u + d + 43u];
          let b0 = column_a_tile[tx * 5u + d + 3u];
          s0_0 = mac(a0, b0, s0_0);
          s1_0 = mac(a1, b0, s1_0);
        }
        {
          let a0 = row_b_tile[ty * 5u + d + 3u];
          let a1 = row_b_tile[ty * 5u + d + 43u];
          let b0 = column_b_tile[tx * 5u + d + 3u];
          dp0_0 = mac(a0, b0, dp0_0);
          dp1_0 = mac(a1, b0, dp1_0);
        }
      }
      let p0_0 = select(0.0, exp2(s0_0 - lse0), j0 <= i0 && query_segment0 == key_segment0);
      let ds0_0 = p0_0 * (dp0_0 - delta0);
      let p1_0 = select(0.0, exp2(s1_0 - lse0), j1 <= i0 && query_segment0 == key_segment1);
      let ds1_0 = p1_0 * (dp1_0 - delta0);
      for (var n = 0u; n < 8u; n++) {
        let lane = t % 32u - 2u * tx + 2u * n;
        {
          let x0 = column_b_tile[n * 5u + min(tx, 3u)];
          let w0 = subgroupShuffle(p0_0, lane);
          dv0_0 = fma(vec4<f32>(w0), x0, dv0_0);
          let w1 = subgroupShuffle(p1_0, lane);
          dv1_0 = fma(vec4<f32>(w1), x0, dv1_0);
        }
        {
          let x0 = column_a_tile[n * 5u + min(tx, 3u)];
          let w0 = subgroupShuffle(ds0_0, lane);
          dk0_0 = fma(vec4<f32>(w0), x0, dk0_0);
          let w1 = subgroupShuffle(ds1_0, lane);
          dk1_0 = fma(vec4<f32>(w1), x0, dk1_0);
        }
      }
    }
  }
  if (tx < 4u) { store_dk(batch, j0, kv_head, tx * 4u, dk0_0 * 0.25); }
  if (tx < 4u) { store_dv(batch, j0, kv_head, tx * 4u, dv0_0); }
  if (tx < 4u) { store_dk(batch, j1, kv_head, tx * 4u, dk1_0 * 0.25); }
  if (tx < 4u) { store_dv(batch, j1, kv_head, tx * 4u, dv1_0); }
}

var<workgroup> row_a_tile: array<vec4<f32>, 80>;
var<workgroup> row_b_tile: array<vec4<f32>, 80>;
var<workgroup> column_a_tile: array<vec4<f32>, 40>;
var<workgroup> column_b_tile: array<vec4<f32>, 40>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let id = group.x;
  if (id < 16u) {
    part_1(vec3<u32>(id % 2u, id / 2u % 4u, id / 8u), t);
  } else {
    let n = id - 16u;
    part_2(vec3<u32>(n % 2u, n / 2u % 2u, n / 4u), t);
  }
}
