"""Oracles that nobody here wrote: JAX, torch's OpInfo, and the table of what is supported.

Invariant: a plain run of the tests neither collects nor imports any of it except the table's check.
"""
