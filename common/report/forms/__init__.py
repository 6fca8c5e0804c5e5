"""The forms of a report, one module each: a page, JSON, Markdown, MultiQC's custom content, text, a table of wells.

html_page: fills page.html and page.css. pictures: the heat maps and bars of the page, and their colours.
"""
