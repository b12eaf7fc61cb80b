"""The end of a loop: leaderboard, best bundle, final analysis."""
