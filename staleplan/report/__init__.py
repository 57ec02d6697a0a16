"""Pictures and tables of what was measured. So far a line chart, as SVG."""
