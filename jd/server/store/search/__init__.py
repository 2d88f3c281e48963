"""Finding jobs: the filter language, its SQL, and parameters and results by value.

`filters` reads what was typed, `conditions` makes SQL of it, and `scanning` walks with bounded work. `values`
is kept in step by whatever writes parameters and results.
"""
