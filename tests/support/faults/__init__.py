"""What the fault tests and bench/soak.py share.

executor (jobs without an interpreter start) → driver (a child that makes Step calls, also under strace) → injection
(its other end: strace, and which system call to hit) → cases (every mutating Step) → checks (is anything lost?) →
sweep (a case hit at each of its writes).
"""
