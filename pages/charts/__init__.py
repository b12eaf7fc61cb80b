"""Charts as plain shapes, made once and drawn twice: as SVG in pages, as PNG by the painter.

shapes      what a chart is made of · svg() draws it into a page
scale       axes with round numbers
lineage     the primary metric by version · curves · latency · samples
style       what each kind of shape looks like in a PNG (charts.css says the same to a page)
painting    the painter, a process of its own: only there matplotlib is imported
"""
