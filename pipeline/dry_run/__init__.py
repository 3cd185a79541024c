"""What a spec does to logs, seen on some of their rows before a run on all of them.

    raw rows of some users -> a small copy of the logs -> the examples pass itself

Nothing is computed a second time here: the copy holds rows as the files hold them,
damaged ones too, and `pipeline.examples` reads it as it would read the whole.
"""
