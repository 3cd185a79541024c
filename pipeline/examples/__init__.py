"""Raw impression logs -> day-sequenced tf.Examples, on Beam, in columns.

`build.generate` composes the pipeline and `report.check_report` judges its outcome;
`build.run_examples` does both. Beam elements are batches of rows, never single rows:
`csv_lines` reads a block of a file at once, `shard` turns all rows of a set of users
into examples, and both are plain functions on Polars frames.
"""
