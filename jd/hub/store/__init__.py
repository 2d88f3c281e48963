"""The SQLite side of the Hub: functions that `HubData.write` and `read` run with a connection.

There is one file for each kind of row, and `schema` has the tables. The routes and commands of the Hub
import all of it.
"""
