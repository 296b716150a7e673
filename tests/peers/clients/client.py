"""A heartbeat by Python's requests, as the API's reference shows it."""
import json
import os

import requests

env = os.environ
headers = {
    "Authorization": "Bearer " + env["TOKEN"],
    "Content-Type": "application/json",
    "Accept": "application/json",
    "AppIdV3": env["APP"],
}
body = json.loads(env["BODY"]) if "BODY" in env else None

reply = requests.request("POST", env["URL"], headers=headers, json=body,
                         verify=env["CA"], timeout=20)
print(reply.status_code)
print(reply.text, end="")
