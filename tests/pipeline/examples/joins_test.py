"""Which shuffles a spec needs."""

import dataclasses

from feature_specs.spec import FilterSpec, JoinSpec
from pipeline.examples.joins import Stage, plan_stages


def _with_joins(spec, filters=None, **on):
    joins = {
        name: JoinSpec(files="*", on=column, columns={column: "int64"})
        for name, column in on.items()
    }
    log = dataclasses.replace(spec.log, joins=joins)
    return dataclasses.replace(spec, log=log, filters=filters or FilterSpec())


def test_other_keys_come_first_the_user_last(spec):
    stages = plan_stages(_with_joins(spec, a="uid", b="video", c="tab", d="tab"))
    assert stages == (
        Stage("tab", ("c", "d")),
        Stage("video", ("b",)),
        Stage("uid", ("a",)),
    )


def test_without_side_files_the_user_is_enough(spec):
    assert plan_stages(_with_joins(spec)) == (Stage("uid", ()),)


def test_counting_impressions_needs_the_videos_shuffle(spec):
    stages = plan_stages(_with_joins(spec, FilterSpec(min_item_impressions=2)))
    assert [stage.column for stage in stages] == ["video", "uid"]
