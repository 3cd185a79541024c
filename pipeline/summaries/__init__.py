"""What is in the examples of each day, in numbers that add up.

    exact            moments whose sums are whole numbers: the same in every order
    histogram        log-linear bins, for quantiles
    summary          a column's and a day's summary, and how those of days merge
    columns          what is kept of which column of the examples
    words            texts -> words
    summarize        rows -> the summaries of their columns, and counts of their values
    store            EXAMPLES/summaries/<split>.json.gz
    tfdv_statistics  the same as the statistics of TFX

They are made while examples are written (`pipeline.examples`); who needs counts,
moments or extremes later (statistics, gates, the encoding) reads them, and never the
examples again.
"""
