"""Columns made of the past: trails, history, counters, statistics, quantiles.

Plain functions on the impressions of a set of users, in the order of their begins.
`timeline` says when an outcome is known, `past` what is known by then.
"""
