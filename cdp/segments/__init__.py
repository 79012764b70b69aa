"""Segments: named predicates over customers, who is in them and since when, and who comes and goes.

A segment is a stored CustomerFilter or a static list. `definition` saves them, `membership` brings
one up to date, `refresh` decides which ones and for whom; `preview`, `why` and `overlap` answer.
"""
