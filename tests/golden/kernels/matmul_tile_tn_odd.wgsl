// matmul: 37 x 33, sums of 45, layout tn, tile 64 x 32, 32 deep
//   a: f32[37, 45] = transpose[perm=(1, 0)] x
//   result: f32[37, 33] = dot[spec='mk,kn->mn'] a cotangent
// moves 17.5 kB, computes 110 kflop
// from golden/programs.py:147
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> cotangent: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

fn load_a(row: u32, k: u32) -> vec4<f32> {
  let row4 = row / 4u;
  let i0 = min(k, 44u);
  let i1 = row4 * 4u;
  let x_0 = vec4<f32>(x[i0 * 37u + min(i1, 36u)], x[i0 * 37u + min(i1 + 1u, 36u)],
      x[i0 * 37u + min(i1 + 2u, 36u)], x[i0 * 37u + min(i1 + 3u, 36u)]);
  return select(vec4<f32>(0.0), x_0, k < 45u);
}

fn load_b(k: u32, col: u32) -> vec4<f32> {
  let col4 = col / 4u;
  let i0 = min(k, 44u);
  let i1 = col4 * 4u;
  let cotangent_0 = vec4<f32>(cotangent[i0 * 33u + min(i1, 32u)],
      cotangent[i0 * 33u + min(i1 + 1u, 32u)], cotangent[i0 * 33u + min(i1 + 2u, 32u)],
      cotangent[i0 * 33u + min(i1 + 3u, 32u)]);
  return select(vec4<f32>(0.0), cotangent_0, k < 45u);
}

fn store_one(row: u32, col: u32, acc: f32) {
  if (row < 37u && col < 33u) {
    result[row * 33u + col] = acc;
  }
}

fn store_out(row: u32, col: u32, acc: vec4<f32>) {
  store_one(row, col, acc.x);
  store_one(row, col + 1u, acc.y);
  store_one(row, col + 2u, acc.z);
  store_one(row, col + 3u, acc.w);
}

// Two buffers per operand, k outermost: the loads of a tile are in flight while the other is used.
var<workgroup> a_tile0: array<vec4<f32>, 256>;
var<workgroup> b_tile0: array<vec4<f32>, 128>;
var<workgroup> a_tile1: array<vec4<f32>, 256>;
var<workgroup> b_tile1: array<vec4<f32>, 128>;

// A workgroup computes a 64 x 32 tile of out, 16 of k at a time; a thread owns 4 x 4 of it
// as groups of 4 x 4, 64 rows and 32 columns apart.
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let tile = group;
  let row0 = tile.y * 64u;
  let col0 = tile.x * 32u;
  // Two rows for every step along the columns: neighbours read the same of A or of B, at one go.
  let tx = t / 2u % 8u;
  let ty = t / 16u * 2u + t % 2u;
  let a_x = t % 16u * 4u;
  let a_k = t / 16u;
  let a_at = a_k * 16u + a_x / 4u;
  var a_in0: vec4<f32>;
  var a_in1: vec4<f32>;
  let b_x = t % 8u * 4u;
  let b_k = t / 8u;
  let b_at = b_k * 8u + b_x / 4u;
  var b_in0: vec4<f32>;
  var s0_0 = vec4<f32>();
  var s1_0 = vec4<f32>();
  var s2_0 = vec4<f32>();
  var s3_0 = vec4<f32>();
  a_in0 = load_a(row0 + a_x, a_k);
  a_in1 = load_a(row0 + a_x, a_k + 8u);
  b_in0 = load_b(b_k, col0 + b_x);
  a_tile0[a_at] = a_in0;
  a_tile0[a_at + 128u] = a_in1;
  b_tile0[b_at] = b_in0;
  workgroupBarrier();
  for (var k = 0u; k < 45u; k += 32u) {
    a_in0 = load_a(row0 + a_x, k + 16u + a_k);
    a_in1 = load_a(row0 + a_x, k + 16u + a_k + 8u);
    b_in0 = load_b(k + 16u + b_k, col0 + b_x);
    {
      let a0 = a_tile0[ty];
      let b0 = b_tile0[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 16u];
      let b0 = b_tile0[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 32u];
      let b0 = b_tile0[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 48u];
      let b0 = b_tile0[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 64u];
      let b0 = b_tile0[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 80u];
      let b0 = b_tile0[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 96u];
      let b0 = b_tile0[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 112u];
      let b0 = b_tile0[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 128u];
      let b0 = b_tile0[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 144u];
      let b0 = b_tile0[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 160u];
      let b0 = b_tile0[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 176u];
      let b0 = b_tile0[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 192u];
      let b0 = b_tile0[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 208u];
      let b0 = b_tile0[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 224u];
      let b0 = b_tile0[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile0[ty + 240u];
      let b0 = b_tile0[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    a_tile1[a_at] = a_in0;
    a_tile1[a_at + 128u] = a_in1;
    b_tile1[b_at] = b_in0;
    workgroupBarrier();
    let more = k + 32u < 45u;
    if (more) {
      a_in0 = load_a(row0 + a_x, k + 32u + a_k);
      a_in1 = load_a(row0 + a_x, k + 32u + a_k + 8u);
      b_in0 = load_b(k + 32u + b_k, col0 + b_x);
    }
    {
      let a0 = a_tile1[ty];
      let b0 = b_tile1[tx];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 16u];
      let b0 = b_tile1[tx + 8u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 32u];
      let b0 = b_tile1[tx + 16u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 48u];
      let b0 = b_tile1[tx + 24u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 64u];
      let b0 = b_tile1[tx + 32u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 80u];
      let b0 = b_tile1[tx + 40u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 96u];
      let b0 = b_tile1[tx + 48u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 112u];
      let b0 = b_tile1[tx + 56u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 128u];
      let b0 = b_tile1[tx + 64u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 144u];
      let b0 = b_tile1[tx + 72u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 160u];
      let b0 = b_tile1[tx + 80u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 176u];
      let b0 = b_tile1[tx + 88u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 192u];
      let b0 = b_tile1[tx + 96u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 208u];
      let b0 = b_tile1[tx + 104u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 224u];
      let b0 = b_tile1[tx + 112u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    {
      let a0 = a_tile1[ty + 240u];
      let b0 = b_tile1[tx + 120u];
      s0_0 = fma(vec4<f32>(a0.x), b0, s0_0);
      s1_0 = fma(vec4<f32>(a0.y), b0, s1_0);
      s2_0 = fma(vec4<f32>(a0.z), b0, s2_0);
      s3_0 = fma(vec4<f32>(a0.w), b0, s3_0);
    }
    if (more) {
      a_tile0[a_at] = a_in0;
      a_tile0[a_at + 128u] = a_in1;
      b_tile0[b_at] = b_in0;
    }
    workgroupBarrier();
  }
  store_out(row0 + ty * 4u, col0 + tx * 4u, s0_0);
  store_out(row0 + ty * 4u + 1u, col0 + tx * 4u, s1_0);
  store_out(row0 + ty * 4u + 2u, col0 + tx * 4u, s2_0);
  store_out(row0 + ty * 4u + 3u, col0 + tx * 4u, s3_0);
}
