"""The end of a loop: leaderboard, best bundle, final analysis.

rescoring (with external_models) → leaderboard → warnings → bundle → contents → pictures → report_folder. status,
estimate and cancel serve a loop at any time; tracker_state and trackers/ mirror it.
"""
