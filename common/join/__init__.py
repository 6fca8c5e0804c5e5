"""Joining the tables of one part into profiles.

relations: which tables join by which column. join_sql: the SQL. planned_join: rows by their keys, counts of unmatched.
user_query: --sql. children: aggregation. platemap*: wells. well_counts: --counts. inputs: the files that options name.
"""
