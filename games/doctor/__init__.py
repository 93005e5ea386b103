"""`keima doctor`: holds any game, a user's own file too, against games/contract.py, and says in words what is wrong.

`examination` starts `worker` twice, with the kernels as plain Python and compiled. There a `Subject` calls them with
care, `walk` finds positions, checks look at them, and `report` puts findings into words. README.md lists the files.
"""
