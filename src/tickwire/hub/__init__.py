"""The hub applies events from the journal and sends them to readers (connected clients). The package contains no HTTP
code.

`hub.py` connects the parts of a hub:

- `dispatcher.py` routes events to live readers (readers that have received all earlier events).
- `pacer.py` writes to paced channels (groups of readers that receive updates only once per interval).
- `roster.py` lists the connected readers, and `client_list.py` describes each reader.
- `reader_admin.py` applies admin events, such as changed subscriptions, to readers.
- `fanout/` contains channels, readers and routing.
- `catchup/` sends new, returning and slow readers the missing events up to the head (the newest applied event).

`hub_pool.py` and `delayed_hub.py` add hubs that follow the journal with a delay.
"""
