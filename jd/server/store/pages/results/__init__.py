"""Results of jobs: as columns, by the values of parameters, as a leaderboard, as rows for programs."""
