"""What an entry script calls, with a worker around it or without one (`tryout`).

Scripts know the names that `import jd` gives, and no module here. Workers import `uploaded`, `signature`,
`upload` and `checkpoint`, so that both sides treat files alike.
"""
