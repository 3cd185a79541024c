"""Simulated live experiments: rankers serve the simulator's users in a closed loop.

    users of a shard, day by day:
        who opens the app (viewers) -> a request a trail: candidates (retrieval)
        -> their features, by the code of the examples pass (knowledge)
        -> an order (rankers, served) -> what is watched of it, until the user leaves
    -> files of finished days (store) -> effects over users (effects) -> report

What users do with a video is `pipeline.simulator.behaviour`; what makes them leave,
come back and feel well is here, in `viewers`. docs/experiment.md says it for people.
"""
