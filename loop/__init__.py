"""The domain: one room a stage of the pipeline. A room imports the rooms below it and never those above.

report      the end: every version scored alike, the leaderboard, the best bundle · trackers/
author      the next version's script: baseline, one action, one checked diff · patch/
judge       what a score means: how metrics moved, and what is noise · noise/
evaluate    the locked evaluation: score, checks, publication · user_python/
train       a training: start, progress, what it leaves, resume
project     a project, its versions and their receipts; a turn; the derived state; is all intact
jobs        detached jobs on this machine or a cluster · runner/ warm/ cluster/
rules       what the user fixed
script      what a training script holds, found without running it
store       files: confined, whole or not at all, sealed, locked, journalled
text        fixed words in two languages, foreign text cleaned · errors: what is wrong, where, what to do next

docs/architecture.md shows how a version passes through them.
"""
