"""The report on an output: what is in each well, what is missing, what was lost, which features are empty.

`parquet_pass` reads Parquet once, `recorded_counts` what the provenance says, `assembly` makes the `contents.Report` of
both. The modules of `forms` write it, each in its own form, from that alone; `outputs` chooses by the name of the file.
"""
