"""Flower's options that are never another: it watches and cannot act.

Secrets are not here and not on its command line: `autobot-dr up` gives the basic-auth password
and the broker's URL through the environment (FLOWER_BASIC_AUTH, AUTOBOT_DR_BROKER_URL), as
well as its address, port and database file. By hand:

    AUTOBOT_DR_BROKER_URL=… FLOWER_BASIC_AUTH=user:password \
        celery -A workers.app flower --conf=deploy/flower/flowerconfig.py
"""

# Who may act through Flower commands the fleet: any task, on any queue. Runs are started,
# approved and cancelled through AutoBot DR's own API, which knows roles.
read_only = True
# Tasks stay visible over a restart; the file is written every five seconds.
persistent = True
state_save_interval = 5000
# Newest first, and what a person reads: the operation, on what, and how it went.
tasks_columns = "name,args,kwargs,state,received,started,runtime,worker,uuid"
