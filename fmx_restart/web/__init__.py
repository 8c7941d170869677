"""
What runs inside gunicorn's processes, so that a restart of web fails no request: the old workers serve until new ones
answer. Standard library only: every start of web imports this, and nothing in it may keep web from starting.

The sequence, without anyone's help but that of the processes concerned (docs/web.md):

1. The master writes a *record*: its pid, how many workers it wants. Each worker that can serve adds a line.
2. An operation puts an *order* beside it, keeps it locked, and ends the master alone. The master finds the order, and
   leaves its workers behind. Where it was killed instead, there is no order, and the workers stay as well.
3. One of the old workers listens on a *socket* and hands the listening sockets to the next master, which adopts them.
4. Once each new worker has answered for itself, the old ones finish their requests and leave.
"""
