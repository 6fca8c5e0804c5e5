"""The report on an output: what is in each well, what is missing, what was lost, which features are empty.

`parquet_pass` reads Parquet once, `recorded_counts` what the provenance says, `assembly` makes the `contents.Report` of
both. Every form of the report is made from that alone: a page, JSON, a table of wells, MultiQC, text for a terminal.
"""
