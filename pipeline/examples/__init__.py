"""Raw impression logs -> day-sequenced tf.Examples, on Beam, in columns.

`build.run_examples` runs it all, `build.generate` adds it to a pipeline. Beam elements
are batches of rows, never single rows.

    reading/            files of four formats -> typed rows and rejects
    columns/            trails, history, counters, statistics, quantiles of impressions
    shard               all of a set of users -> their examples, plain functions
    build               takes a request apart, and makes the Beam graph of it
    read_logs, steps    its steps: each knows what it is given, none the request
    outputs, report     files in their place, every row accounted for
"""
