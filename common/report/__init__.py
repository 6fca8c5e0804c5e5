"""The report on an output: what is in each well, what is missing, what was lost, which features are empty.

`parquet_pass` reads Parquet once, `recorded_counts` what the provenance says, `assembly` makes the `contents.Report` of
both. Each module of `forms` makes one form of the report of that alone, and `outputs` chooses among them.
"""
