"""One file per program: options, function, Prefect task, parser, `main`; `starting` has the entry points."""
