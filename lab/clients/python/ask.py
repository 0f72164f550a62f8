"""Makes the HTTP requests that stdin asks for, with one of Python's clients or with curl.

    ask.py requests | http.client | curl [OPTIONS OF curl]

The protocol is the same in every language: see ../routes.py.
"""

import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import requests

ADDRESS = os.environ["PRODUCER_HTTP_ADDR"]


def by_requests():
    session = requests.Session()

    def ask(method, path, headers, body):
        url = f"http://{ADDRESS}{path}"
        answer = session.request(method, url, headers=headers, data=body, timeout=60)
        return answer.status_code, answer.headers.items(), answer.content
    return ask


def by_http_client():
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)

    def ask(method, path, headers, body):
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    return ask


def by_curl(*options):
    """`--upload-file -` among the options sends the body as it comes, in chunks."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="clients-curl-"))
    heads, content = folder / "heads", folder / "content"

    def ask(method, path, headers, body):
        content.write_bytes(b"")
        command = [
            "curl", "--silent", "--show-error", "--max-time", "60", "--path-as-is",
            "--dump-header", heads, "--output", content, f"http://{ADDRESS}{path}",
            *(["--head"] if method == "HEAD" else ["--request", method]),
            *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
        ]
        if body is None:
            command += [option for option in options if option not in ("--upload-file", "-")]
        else:
            command += options if "--upload-file" in options else [*options, "--data-binary", "@-"]
        subprocess.run(command, input=body, check=True, timeout=90)
        # Interim answers (100 Continue) come before the last one.
        last = heads.read_text("latin-1").replace("\r\n", "\n").strip().split("\n\n")[-1].split("\n")
        status = int(last[0].split()[1])
        return status, [line.split(": ", 1) for line in last[1:]], b"" if method == "HEAD" else content.read_bytes()
    return ask


CLIENTS = {"requests": by_requests, "http.client": by_http_client, "curl": by_curl}


def main():
    ask = CLIENTS[sys.argv[1]](*sys.argv[2:])
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            body = None if asked["body"] is None else asked["body"].encode()
            status, headers, content = ask(asked["method"], asked["path"], asked["headers"], body)
            answer = {
                "status": status,
                "headers": {name.lower(): value for name, value in headers},
                "body": content.decode(),
            }
        except Exception as problem:
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        print(json.dumps(answer), flush=True)


main()
