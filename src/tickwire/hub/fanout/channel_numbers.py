"""Assigns numbers to channels, so that code can process many channels as arrays."""

from __future__ import annotations

from tickwire.hub.fanout.channel import Channel


class ChannelNumbers:
    """The numbers of the channels of a routing table, starting at 0. A removed channel releases its number.

    `changed` contains the numbers whose channels are new or removed, or have different live readers than before. Code
    that reads `changed` must then clear it.
    """

    def __init__(self) -> None:
        # The element at index i is the channel with the number i, or None if `_free` contains this number.
        self.channels: list[Channel | None] = []
        self.changed: set[int] = set()
        self._numbers: dict[Channel, int] = {}
        self._free: list[int] = []

    def number_of(self, channel: Channel) -> int:
        """Return the number of a channel. If the channel has no number, assign one."""
        number = self._numbers.get(channel)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.channels[number] = channel
            else:
                number = len(self.channels)
                self.channels.append(channel)
            self._numbers[channel] = number
            self.changed.add(number)
            channel.report_changes(self.changed, number)
        return number

    def has_number(self, channel: Channel) -> bool:
        """Whether the channel has a number."""
        return channel in self._numbers

    def remove(self, channel: Channel) -> None:
        """Release the number of a channel, if it has one."""
        number = self._numbers.pop(channel, None)
        if number is not None:
            self.channels[number] = None
            self._free.append(number)
            self.changed.add(number)
