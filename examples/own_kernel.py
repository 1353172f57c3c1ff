"""Write a primitive and its kernel: a gated linear recurrence, the core of state-space models.

    python examples/own_kernel.py

    out[t] = decay[t] * out[t - 1] + x[t]    along the last axis, out[-1] = 0

Fusion cannot invent the kernel below: a whole row in one workgroup, in log2 steps. The primitive
says what it means (`expand` in existing operations, `eval` in numpy), its derivative, how it is
batched and cut over a mesh, and brings the kernel as WGSL. From there on it is one of the
compiler's own: `jit`, `grad`, `jvp`, `vmap`, `scan` and meshes work.
"""

import math

import numpy as np

from codegen.handwritten import Handwritten
from tracer import grad, jit, jvp, lax, vmap
from tracer import numpy as jnp
from tracer.extend import Factors, Operation, alike, f32, leading, register
from tracer.sharding import P
from tracer.spmd import MeshShape, spmd

WGSL = """
// What an invocation's own steps make of a value v before them: v * factor + sum.
var<workgroup> factors: array<f32, THREADS>;
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = group.x * STEPS;
  let first = row + min(t * EACH, STEPS);
  let last = row + min(t * EACH + EACH, STEPS);
  var factor = 1.0;
  var sum = 0.0;
  for (var i = first; i < last; i += 1u) {
    factor *= decay[i];
    sum = sum * decay[i] + x[i];
  }
  factors[t] = factor;
  sums[t] = sum;
  workgroupBarrier();
  // Each invocation takes in those before it: 1, 2, 4, ... at a time (Hillis and Steele, 1986).
  for (var reach = 1u; reach < THREADS; reach *= 2u) {
    if (t >= reach) {
      sum += sums[t - reach] * factor;
      factor *= factors[t - reach];
    }
    workgroupBarrier();
    factors[t] = factor;
    sums[t] = sum;
    workgroupBarrier();
  }
  var value = 0.0;
  if (t > 0u) {
    value = sums[t - 1u];
  }
  for (var i = first; i < last; i += 1u) {
    value = value * decay[i] + x[i];
    result[i] = value;
  }
}
"""


@register
class linear_recurrence(Operation):
    """out[..., t] = decay[..., t] * out[..., t - 1] + x[..., t]."""

    name = "linear_recurrence"

    def typeof(self, decay, x):
        if decay != x or not x.dtype.is_float or x.ndim == 0:
            raise TypeError(f"linear_recurrence needs floats of one shape, got {decay} and {x}")
        return x

    def eval(self, decay, x):
        out = np.zeros_like(x)
        before = np.zeros_like(x[..., 0])
        for t in range(x.shape[-1]):
            before = out[..., t] = decay[..., t] * before + x[..., t]
        return out

    def expand(self, decay, x):
        def after(one, two):  # v -> v * a + b, twice
            return one[0] * two[0], one[1] * two[0] + two[1]

        return lax.associative_scan(after, (decay, x), axis=-1)[1]

    def vjp(self, ct, out, decay, x):
        # The same recurrence from the end: what x[t] is worth is ct[t] and a share of x[t + 1]'s.
        following = jnp.flip(shifted(jnp.flip(decay, -1)), -1)
        worth = jnp.flip(linear_recurrence(jnp.flip(following, -1), jnp.flip(ct, -1)), -1)
        return worth * shifted(out), worth

    def batch(self, ins, mask, size):
        return linear_recurrence(*leading(ins, mask, size))

    def factors(self, decay, x) -> Factors:
        return alike(2, x.ndim, but=(x.ndim - 1,))  # any axis can be cut, but not time

    def linear(self, mask):
        return mask == (False, True)  # in x

    def flops(self, decay, x):
        return 2 * x.size

    def kernel(self, profile, decay, x):
        steps, rows = x.shape[-1], x.size // x.shape[-1]
        if x.dtype is not f32 or rows > 65_535:
            return None  # the compiler takes `expand`
        threads = min(64 if profile.kind == "cpu" else 256, profile.invocations)
        threads = min(threads, 1 << math.ceil(math.log2(steps)))
        each = math.ceil(steps / threads)
        return Handwritten(
            WGSL,
            operands=("decay", "x"),
            results=("result",),
            grid=(rows, 1, 1),
            constants={"STEPS": steps, "THREADS": threads, "EACH": each},
            workgroup_bytes=2 * 4 * threads,
            loop_iterations=2 * each + threads.bit_length(),
        )


def shifted(x):
    """One step later, a zero first."""
    return jnp.concatenate([jnp.zeros_like(x[..., :1]), x[..., :-1]], axis=-1)


def main():
    random = np.random.default_rng(0)
    decay = random.uniform(0.5, 1, (6, 500)).astype(np.float32)
    x = random.standard_normal((6, 500), np.float32)

    compiled = jit(linear_recurrence).lower(decay, x).compile()
    print(compiled.as_text())
    wanted = linear_recurrence.eval(decay.astype(np.float64), x.astype(np.float64))
    print(f"kernel against numpy: {np.abs(jit(linear_recurrence)(decay, x) - wanted).max():.1e}")

    def loss(decay, x):
        return jnp.mean(linear_recurrence(decay, jnp.tanh(x)) ** 2)

    slopes = jit(grad(loss))(decay, x)
    direction = random.standard_normal(decay.shape).astype(np.float32)
    slope = float(jvp(loss, (decay, x), (direction, np.zeros_like(x)))[1])
    print(f"slope along a direction: {np.vdot(slopes, direction):.5f} by grad, {slope:.5f} by jvp")

    rates = np.float32([0.5, 0.9, 0.99])
    smoothed = vmap(lambda rate: linear_recurrence(jnp.full_like(x, rate), x))(rates)
    print(f"vmap over {len(rates)} rates: {smoothed.shape}")

    def step(decay, x):
        return jnp.sum(grad(loss)(decay, x) ** 2)

    mesh = MeshShape(("dp",), (3,))
    cut = spmd(step, mesh, (P("dp", None), P("dp", None)), P())
    print(f"three devices {float(cut(decay, x)):.5e}, one {float(jit(step)(decay, x)):.5e}")
    print(f"they sent {cut.traffic()}")


if __name__ == "__main__":
    main()
