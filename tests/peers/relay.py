# A relay in front of a stand-in, which holds back what that one sends.
#
# usage: relay.py PORT LOG HOLD
#
# PORT is the stand-in's, LOG what it prints.  While the file HOLD is there, and
# LOG's last request contains its text, no byte goes on to the client; HOLD.held
# says that there was one.  While HOLD.slow is there each part of a reply takes
# as many seconds as it says.
import os, socket, sys, threading, time

port, log, hold = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def text_of(path):
    try:
        with open(path) as f:
            return f.read()
    except FileNotFoundError:
        return None


def last_request():
    requests = [r for r in text_of(log).split("\n") if r.startswith("POST ")]
    return requests[-1] if requests else ""


def is_held():
    text = text_of(hold)
    return text is not None and text in last_request()


def patiently(data):
    time.sleep(float(text_of(hold + ".slow") or 0))
    while is_held():
        open(hold + ".held", "w").close()
        time.sleep(0.02)
    return data


def pump(source, target, change):
    try:
        while data := source.recv(65536):
            target.sendall(change(data))
    except OSError:
        pass
    for end in source, target:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


listener = socket.create_server(("127.0.0.1", 0))
print("listening on 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    try:
        server = socket.create_connection(("127.0.0.1", port))
    except OSError:
        client.close()
        continue
    for args in (client, server, bytes), (server, client, patiently):
        threading.Thread(target=pump, args=args, daemon=True).start()
