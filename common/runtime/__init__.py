"""The process: its messages, progress, signals and resources.

messages: the log on stderr. progress: bars on a terminal. terminal: stderr, and whether it is a terminal.
signals: interruptions, clean-up, exit. resources: processors and memory.
"""
