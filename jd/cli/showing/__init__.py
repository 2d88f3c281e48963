"""How commands show facts: as tables and JSON, on the whole terminal (`live`), as the end of a log."""
