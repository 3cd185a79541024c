"""Gates that a day of examples, and a model, must pass.

    report = judge_day(spec, day, earlier)     # of summaries, before it is trained on
    verdict = judge(spec, rows)                # of a model, before it may serve

Numbers in, findings out: nothing here knows TensorFlow or TFX. See docs/gates.md.
"""
