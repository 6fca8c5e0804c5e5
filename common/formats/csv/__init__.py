"""CSV folders, as CellProfiler's ExportToSpreadsheet writes them, and single tables such as IN Carta's."""
