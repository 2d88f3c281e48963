"""What people and programs do with a sweep that runs: the same for the pages and for the API.

`orders.Orders` changes many jobs, `sweep` tells how all of them are doing, `waits.Waits` holds who waits for
jobs, and `news.News` tells them that jobs have changed. The routes stand in `jd/server/dashboard` and
`jd/server/api`.
"""
