// map_mul_add_sqrt: map over 64x48, 4 elements per invocation
//   a: f32[64, 48] = mul 0.9 mu
//   b: f32[64, 48] = mul 0.1 gradient
//   mu': f32[64, 48] = add a b
//   c: f32[64, 48] = mul 0.95 nu
//   d: f32[64, 48] = mul 0.05 gradient
//   e: f32[64, 48] = mul d gradient
//   nu': f32[64, 48] = add c e
//   f: f32[64, 48] = sqrt nu'
//   g: f32[64, 48] = add f 1e-08
//   h: f32[64, 48] = div mu' g
//   i: f32[64, 48] = mul 0.1 weight
//   j: f32[64, 48] = add h i
//   k: f32[64, 48] = mul 0.001 j
//   weight': f32[64, 48] = sub weight k
// moves 86 kB, computes 43 kflop
// from golden/programs.py:74, golden/programs.py:75, golden/programs.py:76, golden/programs.py:77
@group(0) @binding(0) var<storage, read_write> mu: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> nu: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> weight: array<vec4<f32>>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = group.x * 256u + t;
  let mu_0 = mu[i];
  let gradient_0 = gradient[i];
  let v0 = 0.9 * mu_0 + 0.1 * gradient_0;
  let nu_0 = nu[i];
  let v1 = 0.95 * nu_0 + 0.05 * gradient_0 * gradient_0;
  let weight_0 = weight[i];
  mu[i] = v0;
  nu[i] = v1;
  weight[i] = weight_0 - 0.001 * (v0 / (sqrt(v1) + 1e-8) + 0.1 * weight_0);
}
