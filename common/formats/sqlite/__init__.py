"""SQLite files, as CellProfiler's ExportToDatabase and cytominer-database write them."""
