"""The loop as pages: read-only, without anything from elsewhere, on this machine only.

overview_page, version_page, journal_page   what each page shows
scorings    what is scored for the report right now · curves: learning curves as plots and tables
html        the pages as HTML · static: the style, the script, and uPlot as its makers built it
routes      which address is what
access      who may look
"""
