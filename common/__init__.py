"""What the tools share; knows nothing of the tools."""
