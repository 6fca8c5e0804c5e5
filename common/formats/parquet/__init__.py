"""Parquet files: a table for each compartment, as `pct-write --per-table` writes them, or joined tables of cells.

files: open them, and raise Arrow's errors as ours. columns: what their columns become. image_sets: where each image
set's rows lie. layout and reader: the two faces of every format.
"""
