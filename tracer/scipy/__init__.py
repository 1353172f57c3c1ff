"""The part of scipy's interface that JAX has and devices can compute."""

from . import special

__all__ = ["special"]
