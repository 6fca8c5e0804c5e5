"""Prefect and Dask: the private server, task runners, the work dir and resuming.

part_runs: submit a part's tasks, and retry them. prefect_server: start a private server, whose process runs
prefect_server_main. resume: what an earlier run has finished. *_compat: what leans on undocumented things.
"""
