"""Gates that a day of examples passes before anything is trained on it.

    report = judge_day(spec, day, earlier)       # of summaries; docs/gates.md

Numbers in, findings out: nothing here knows TensorFlow, TFX or a data set's rows.
"""
