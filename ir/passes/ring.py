"""Ring attention: keys and values travel round, and each device attends to one part at a time.

Invariant: results equal those of attention over all keys. Partial results are merged by their
log-sum-exp in float32 (Liu, Zaharia and Abbeel, 2023). On a zigzag axis every hop costs each device
the same: half of its queries meet all of the part, or all of them meet half (Zhu, 2024).
"""
