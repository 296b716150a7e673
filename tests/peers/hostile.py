"""A TLS server that answers with whatever bytes it is told to.

usage: hostile.py CERTIFICATE KEY FOLDER

Prints "listening on 127.0.0.1:PORT", and "N NAME" when connection N brings a
request for the device NAME.  The request is kept in FOLDER/NAME.request, as
it came.  The answer is the file FOLDER/NAME: its head has its line ends made
CRLF, its body follows as it is.  Several answers, for one request after
another, are parted by a line "%%"; the last one is given again and again.
A line in front of the head says how:

    @length     add the body's Content-Length
    @chunked    send the body in chunks of up to 1,000 bytes
    @raw        send all as it is, no line end changed
    @close      close with a close_notify behind the answer
    @cut        close without
    @slow       a byte every 100 ms
"""
import os
import re
import socket
import ssl
import sys
import threading
import time

certificate, key, folder = sys.argv[1:]
turns = {}


def read_request(conn):
    """A request and the name of its device; None at the connection's end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = conn.recv(65536)
        if not piece:
            return None
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    left = int(re.search(rb"\r\nContent-Length: ?(\d+)", head)[1]) - len(body)
    while left > 0:
        piece = conn.recv(65536)
        data += piece
        left -= len(piece)
    return data, re.search(rb"/([^/]+)/heartbeat ", head)[1].decode()


def chunks(body):
    parts = [body[i:i + 1000] for i in range(0, len(body), 1000)] + [b""]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts)


def answer(name):
    """The bytes to send, and the words that say how."""
    with open(os.path.join(folder, name), "rb") as file:
        replies = file.read().split(b"\n%%\n")
    turn = turns[name] = turns.get(name, -1) + 1
    reply, how = replies[min(turn, len(replies) - 1)], []
    while reply.startswith(b"@"):
        word, _, reply = reply.partition(b"\n")
        how.append(word[1:].decode())
    if "raw" in how:
        return reply, how
    head, _, body = reply.partition(b"\n\n")
    if "length" in how:
        head += b"\nContent-Length: %d" % len(body)
    if "chunked" in how:
        head, body = head + b"\nTransfer-Encoding: chunked", chunks(body)
    return head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + body, how


def serve(conn, number):
    while request := read_request(conn):
        data, name = request
        with open(os.path.join(folder, name + ".request"), "wb") as file:
            file.write(data)
        print(number, name, flush=True)
        reply, how = answer(name)
        if "slow" in how:
            for i in range(len(reply)):
                conn.sendall(reply[i:i + 1])
                time.sleep(0.1)
        conn.sendall(b"" if "slow" in how else reply)
        if "close" in how:
            conn.unwrap()
        if "cut" in how or "close" in how:
            return


def client(plain, number):
    try:
        with context.wrap_socket(plain, server_side=True) as conn:
            serve(conn, number)
    except OSError:
        pass  # the client had enough


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
for count in range(1, 1 << 30):
    accepted, _ = listener.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=client, args=(accepted, count), daemon=True).start()
