"""What pages and `GET /api/jobs` show: tables, one job, charts, the summary, the CSV.

Everything here only reads, but `completions`, which is counted as attempts end. The dashboard and the routes
of programs use all of it.
"""
