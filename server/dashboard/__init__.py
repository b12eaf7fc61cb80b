"""The loop as pages: read-only, without anything from elsewhere, on this machine only.

overview    what the first page shows · version, journal: what a version's page and the journal's show
scorings    what is scored for the report right now
pages       both as HTML · static: the style, the script, and uPlot as its makers built it
events      what has changed, told to an open page
routes      which address is what
access      who may look
serving     `progressive-training dashboard`
"""
