"""Raw impression logs -> day-sequenced tf.Examples, on Beam, in columns.

`build.run_examples` runs it all, `build.generate` adds it to a pipeline. Beam elements
are batches of rows, never single rows.

    reading/            files of four formats -> typed rows and rejects
    columns/            trails, history, counters, statistics, quantiles of impressions
    shard               all of a set of users -> their examples, plain functions
    build               the Beam graph: read_logs, joins, shard, tfrecords
    outputs, report     files in their place, every row accounted for
"""
