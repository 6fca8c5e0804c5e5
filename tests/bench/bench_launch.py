"""Run one command and write down what it took: `bench_launch.py RESULT.json COMMAND ...`; its stderr stays its own.

A small process of its own, because Linux counts what the process that starts a program had in memory to that program.
"""

import json
import os
import subprocess
import sys
import time


def main(argv: list[str]) -> int:
    """Run the command; wait4 also counts the children that it has itself waited for, such as a pipe's tools."""
    result, *command = argv
    start = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    taken = {
        "exit": process.returncode,
        "wall": wall,
        "processor": usage.ru_utime + usage.ru_stime,
        "megabytes": usage.ru_maxrss * 1024 / 1e6,
    }
    with open(result, "w", encoding="utf-8") as stream:
        json.dump(taken, stream)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
