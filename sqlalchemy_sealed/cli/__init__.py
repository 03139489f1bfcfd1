"""The command ``sealed``.

stdout is data, stderr is talk, and the exit code is the truth: 0 all is well, 1 an
error, 2 wrong usage, 3 the command did its work and found values that need attention.
"""
