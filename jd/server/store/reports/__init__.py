"""What scripts report while they run: curves of metrics, kept with the attempt.

`points` are the numbers of a curve and how they are thinned out, `interpreting` is what a report says,
`taking` takes what workers send, `storage` has the rows, `columns` makes results of them, and `historyfile`
reads a `history.csv`. Pages and programs read them with `pages.curves`.
"""
