"""How long a GPU has work to do before it is timed: one that idles runs at low clocks.

Invariant: seconds, for any adapter; nothing is imported, so what only measures can ask too.
"""

# After a pause, as before a profile of a program that was just traced and compiled: an H100 takes
# some tenths of a second, and what is timed earlier comes out up to three times too long.
RISE_S = 0.5
# Where measurements follow one another, as sides that take turns do: clocks are up from the one
# before, but for the gap in which the next was prepared.
WARM_S = 0.06
