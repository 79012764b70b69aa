"""Segments: named predicates over customers, who is in them and since when, and who comes and goes.

A segment is a stored CustomerFilter or a static list. `definition` saves them, `evaluation` finds
whom they hold for, `difference` stores who comes and goes and tells the feed, `refresh` decides
which ones and for whom; `preview`, `why` and `overlap` answer.
"""
