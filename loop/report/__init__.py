"""The end of a loop: leaderboard, best bundle, final analysis.

scoring (with externals) → leaderboard → warnings → final → pictures and additions. status and cancel serve a loop at
any time; tracker_state and trackers/ mirror it.
"""
