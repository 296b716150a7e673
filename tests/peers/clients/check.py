"""Compares for clients.sh what two clients sent, and what they were told.

check.py body VERSION [INFO...]         prints the heartbeat's body
check.py request LOG LOG                are these the same request?
check.py answer ANSWER ANSWER           were they told the same?
"""
import json
import re
import sys

FIELDS = ("instruction", "parameters", "run_at", "status", "lcuid",
          "created_at", "updated_at")


def members(pairs):
    """An object, in which no name may stand twice."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def decode(text):
    return json.loads(text, object_pairs_hook=members)


def read_text(path):
    with open(path, encoding="utf-8", newline="") as text:
        return text.read()


def read_request(path):
    """The one request of a log: what stands before the body, and the body.

    In the log \\xNN is a byte; JSON has no such escape, but it has pairs of
    backslashes, which must not be taken apart.
    """
    lines = read_text(path).splitlines()
    lines = [x for x in lines if not x.startswith("listening")]
    if len(lines) != 1:
        raise ValueError(f"{len(lines)} requests in {path}")
    head, body = lines[0].split(" | body: ", 1)
    body = re.sub(rb"\\x([0-9a-f]{2})|\\.",
                  lambda m: bytes.fromhex(m[1].decode()) if m[1] else m[0],
                  body.encode())
    return head, decode(body) if body else None


def as_told(answer):
    """What lucit-heartbeat --json makes of an answer."""
    status, body = answer.split("\n", 1)
    reply = decode(body)
    found = reply.get("lightning_device_remote_instruction")
    return {"result": "ok" if status == "200" else "status",
            "http_status": int(status),
            "success": reply.get("success", False),
            "message": reply.get("message"),
            "instruction": found and {k: found[k] for k in FIELDS}}


def of_told(text):
    """The same of its own output, which holds more."""
    told = decode(text)
    found = told["instruction"]
    told["instruction"] = found and {k: found[k] for k in FIELDS}
    return {k: told[k] for k in as_told("0\n{}")}


def must_equal(one, other):
    if one != other:
        sys.exit(f"this: {one}\nlike: {other}")


if sys.argv[1] == "body":
    body = {"lightning_version": sys.argv[2]}
    if sys.argv[3:]:
        body["device_info"] = sys.argv[3:]
    print(json.dumps(body))
elif sys.argv[1] == "request":
    must_equal(read_request(sys.argv[2]), read_request(sys.argv[3]))
else:
    one, other = map(read_text, sys.argv[2:])
    if one.startswith("{"):
        one, other = of_told(one), as_told(other)
    must_equal(one, other)
