"""What Prefect itself costs: a flow of one empty task on the private server that `pct-flow` brings."""

from __future__ import annotations

import sys

from pycytominer_transform.common.flow.prefect_environment import prepare_prefect_environment
from pycytominer_transform.common.flow.prefect_server import private_prefect_server


def main() -> int:
    """Run the flow once."""
    prepare_prefect_environment()
    with private_prefect_server() as api:
        from prefect import flow, task
        from pycytominer_transform.common.flow.task_runners import task_runner

        @task
        def nothing() -> None:
            """Do nothing."""

        with task_runner("concurrent", workers=2) as runner:
            api.await_start()

            @flow(task_runner=runner)
            def bare() -> None:
                nothing.submit().wait()

            bare()
    return 0


if __name__ == "__main__":
    sys.exit(main())
