"""The rehearsal: the first version is tried for half a minute, before the first hour is spent.

job            lays it out: two copies of the project, limits, a plan
user_python/   carries the plan out in the user's interpreter: trains a little, draws the data again, scores
rehearsal      starts it, finds it again, collects what it found; any process may make any of these calls
observed       what such a job left, read as values
outcome, data, scores, night   findings: does it run, on what data, is the score the script's own, how long will it be
words, page    a finding in words, and all of them on one page
"""
