// row_cast_max_sub: 64 rows of 256, one per workgroup of 64
//   a: f32[64, 256] = cast x
//   b: f32[64] = reduce_max[axes=(1,)] a
//   c: bf16[64] = cast b
//   d: bf16[64, 256] = broadcast[dims=(0,)] c
//   e: bf16[64, 256] = sub x d
//   f: bf16[64, 256] = exp e
//   g: f32[64, 256] = cast f
//   h: f32[64] = sum[axes=(1,)] g
//   i: bf16[64] = cast h
//   j: bf16[64, 256] = broadcast[dims=(0,)] i
//   result: bf16[64, 256] = div f j
// moves 65.5 kB, computes 115 kflop
// from golden/programs.py:101
@group(0) @binding(0) var<storage, read> x: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> result: array<vec2<u32>>;

fn unpack_bf16x4(words: vec2<u32>) -> vec4<f32> {
  let low = words << vec2<u32>(16u);
  let high = words & vec2<u32>(0xffff0000u);
  return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

fn pack_bf16x4(v: vec4<f32>) -> vec2<u32> {
  let bits = bitcast<vec4<u32>>(v);
  return (bits.xz >> vec2<u32>(16u)) | (bits.yw & vec2<u32>(0xffff0000u));
}

// To the nearest value with 8 bits, ties to even; what is not a number stays so.
fn round_bf16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let rounded = bits + 0x7fffu + ((bits >> 16u) & 1u);
  let is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return bitcast<f32>(select(rounded, bits | 0x400000u, is_nan) & 0xffff0000u);
}

// To the nearest value with 8 bits, ties to even; what is not a number stays so.
fn round_bf16x4(x: vec4<f32>) -> vec4<f32> {
  let bits = bitcast<vec4<u32>>(x);
  let rounded = bits + vec4<u32>(0x7fffu) + ((bits >> vec4<u32>(16u)) & vec4<u32>(1u));
  let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
  let chosen = select(rounded, bits | vec4<u32>(0x400000u), is_nan);
  return bitcast<vec4<f32>>(chosen & vec4<u32>(0xffff0000u));
}

var<workgroup> scratch_f32: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x;
  var highest_part = vec4<f32>(-3.4028234e38);
  let x_0 = unpack_bf16x4(x[row * 64u + t]);
  highest_part = max(highest_part, x_0);
  scratch_f32[t] = max(max(highest_part.x, highest_part.y), max(highest_part.z, highest_part.w));
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] = max(scratch_f32[t], scratch_f32[t + half]);
    }
    workgroupBarrier();
  }
  let highest = scratch_f32[0];
  workgroupBarrier();
  let v0 = round_bf16(highest);
  var total_part = vec4<f32>(0.0);
  let x_1 = unpack_bf16x4(x[row * 64u + t]);
  total_part += round_bf16x4(exp(round_bf16x4(x_1 - v0)));
  scratch_f32[t] = total_part.x + total_part.y + total_part.z + total_part.w;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (t < half) {
      scratch_f32[t] += scratch_f32[t + half];
    }
    workgroupBarrier();
  }
  let total = scratch_f32[0];
  workgroupBarrier();
  let v1 = round_bf16(total);
  let i0 = row * 64u + t;
  let x_2 = unpack_bf16x4(x[i0]);
  let v2 = round_bf16x4(exp(round_bf16x4(x_2 - v0)));
  result[i0] = pack_bf16x4(round_bf16x4(v2 / v1));
}
