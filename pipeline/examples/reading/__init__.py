"""Log and side files -> typed rows: four formats, compression, rejects with reasons.

`readers` is the door; a format has a module of its own, with `plan` (a file -> ranges)
and `read` (a range -> blocks).
"""
