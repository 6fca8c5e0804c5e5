"""The command lines, from arguments to exit codes.

parser: argparse options from dataclasses of options. run: runs a tool or the task of a stage.
"""
