"""Game records: Keima's text and SGF. Reading one runs nothing."""
