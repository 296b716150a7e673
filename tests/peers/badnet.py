"""A bad network: what goes into one of two TUN devices comes out of the
other, or does not.

usage: badnet.py SEED DEVICE DEVICE

Prints "ready" once the devices are there; whoever started it puts each where
it belongs.  Of the IPv4 packets, in either direction, 30 in a hundred are
lost; the others take 300 ms, give or take 50, and every fourth of them 100 ms
more, so that what was sent behind it overtakes it.  Which ones, the seed says.
At SIGTERM it prints "sent N lost N overtaken N".
"""
import fcntl
import heapq
import os
import random
import select
import signal
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

LOSS = 0.30
DELAY_S, JITTER_S = 0.300, 0.050
LATE, LATE_S = 0.25, 0.100


def tun(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    return fd


def stop(*_):
    print(f"sent {sent} lost {lost} overtaken {overtaken}")
    sys.exit()


chance = random.Random(int(sys.argv[1]))
ends = [tun(name) for name in sys.argv[2:]]
under_way = []  # (when it arrives, its number, where, its bytes)
newest = {fd: 0 for fd in ends}  # the highest number that has arrived there
sent = lost = overtaken = 0
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)

while True:
    wait = max(0, under_way[0][0] - time.monotonic()) if under_way else None
    for fd in select.select(ends, [], [], wait)[0]:
        try:
            packet = os.read(fd, 65536)
        except OSError:  # it is down, for a moment yet
            time.sleep(0.01)
            continue
        if packet[0] >> 4 != 4:
            continue
        sent += 1
        if chance.random() < LOSS:
            lost += 1
            continue
        delay = DELAY_S + chance.uniform(-JITTER_S, JITTER_S)
        if chance.random() < LATE:
            delay += LATE_S
        to = ends[1] if fd == ends[0] else ends[0]
        heapq.heappush(under_way, (time.monotonic() + delay, sent, to, packet))
    while under_way and under_way[0][0] <= time.monotonic():
        _, number, to, packet = heapq.heappop(under_way)
        overtaken += number < newest[to]
        newest[to] = max(number, newest[to])
        try:
            os.write(to, packet)
        except OSError:  # as above
            lost += 1
