"Servers that fail on demand: an http server with ranges, and a proxy in front of any other."
import hashlib
import re
import socket
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from urllib.parse import parse_qs, urlsplit

STEP = 16 << 10


class Site:
    """An http server on loopback. `files` are {name: bytes}; `faults` are used up, one a request, and may hold

    status (and retry_after), cut (close after so many bytes), etag (send another), data (send other bytes). For all requests: `ranges` (answer them),
    `etags` (name versions), `lengths` (say how much comes), `s3` (look like S3: the ETag is the md5), `rate` (bytes a second), `odd` ({header: what is sent
    instead, None for nothing}), `reason` (after a status other than 200). `asked` lists (name, Range)."""

    def __init__(self):
        self.files, self.faults, self.asked, self.odd, self.reason = {}, [], [], {}, None
        self.ranges = self.etags = self.lengths = True
        self.s3, self.rate, self.server, self.port = False, 0, None, 0
        self.start()

    def start(self):
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args): pass

            def do_GET(self):
                try: site.answer(self)
                except OSError: self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def url(self, name): return f"http://127.0.0.1:{self.port}/{name}"

    def answer(self, request):
        name, wanted = request.path[1:].partition("?")[0], request.headers.get("Range")
        self.asked.append((name, wanted))
        fault = self.faults.pop(0) if self.faults else {}
        status = fault.get("status") or (200 if name in self.files else 404)
        if status != 200:
            request.send_response(status, self.reason)
            return self.send_headers(request, {"Retry-After": fault.get("retry_after"), "Content-Length": 0})
        data = fault.get("data", self.files[name])
        etag = '"' + fault.get("etag", hashlib.md5(data).hexdigest()) + '"'
        span = re.match(r"bytes=(\d+)-$", wanted or "")
        start = int(span[1]) if span and self.ranges and request.headers.get("If-Range", etag) == etag else 0
        if start and start >= len(data):
            request.send_response(416)
            return self.send_headers(request, {"Content-Length": 0})
        request.send_response(206 if start else 200)
        self.send_headers(request, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}" if start else None, "Content-Length": len(data) - start if self.lengths else None,
                                    "ETag": etag if self.etags else None, "x-amz-request-id": "0" if self.s3 else None})
        end, step = min(len(data), start + fault.get("cut", len(data))), STEP if not self.rate else max(1, min(STEP, self.rate // 20))
        for at in range(start, end, step):
            request.wfile.write(data[at : min(at + step, end)])
            if self.rate: time.sleep(step / self.rate)
        request.close_connection = True

    def send_headers(self, request, headers):
        for key, value in (headers | self.odd).items():
            if value is not None: request.send_header(key, str(value))
        request.end_headers()


class OddS3:
    "An S3 on loopback that answers what it is told to: `page(token)` is the XML of a list, `head` and `content` are the headers and bytes of every object; `asked` counts requests."

    def __init__(self):
        odd = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args): pass

            def do_GET(self):
                odd.asked += 1
                query = parse_qs(urlsplit(self.path).query)
                try: odd.send(self, query) if "list-type" in query else odd.give(self)
                except OSError: self.close_connection = True

            do_HEAD = do_GET

        self.page, self.head, self.content, self.asked = lambda token: page(), {}, b"", 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def send(self, request, query):
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        chunks = self.page(query.get("continuation-token", [""])[0])
        for chunk in [chunks] if isinstance(chunks, bytes) else chunks: request.wfile.write(chunk)
        request.close_connection = True

    def give(self, request):
        headers = {"Content-Length": len(self.content), "ETag": '"' + hashlib.md5(self.content).hexdigest() + '"'} | self.head
        if "partNumber" in request.path: headers |= {"Content-Length": headers.get("x-part", len(self.content))}
        request.send_response(200)
        for key, value in headers.items():
            if value is not None: request.send_header(key, str(value))
        request.send_header("Connection", "close")
        request.end_headers()
        if request.command == "GET": request.wfile.write(self.content)
        request.close_connection = True

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def page(*entries, more="<IsTruncated>false</IsTruncated>"):
    "A page of an S3 list with the XML of `entries`."
    listed = "".join(f"<Contents>{e}</Contents>" for e in entries)
    return f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>{more}{listed}</ListBucketResult>'.encode()


class Proxy:
    "A TCP proxy on loopback before `port`: `rate` slows what goes to the server, `cut` (bytes sent to or got from it) ends connections, `seen` counts them."

    def __init__(self, port):
        self.target, self.rate, self.cut, self.cuts, self.seen, self.done = port, 0, 0, 0, 0, Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.done.is_set():
            try: client, _ = self.listener.accept()
            except OSError: return
            try: server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, target, to_server):
        passed = 0
        try:
            while data := source.recv(STEP):
                passed += len(data)
                if to_server: self.seen += len(data)
                if self.cut and self.cuts and passed >= self.cut:
                    self.cuts -= 1
                    break
                target.sendall(data)
                if self.rate and to_server: time.sleep(len(data) / self.rate)
        except OSError: pass
        for end in (source, target):
            try: end.shutdown(socket.SHUT_RDWR)
            except OSError: pass
            end.close()

    def close(self):
        self.done.set()
        self.listener.close()


@contextmanager
def proxied(port, **faults):
    proxy = Proxy(port)
    vars(proxy).update(faults)
    yield proxy
    proxy.close()


def until(true, seconds=20):
    "Wait until `true()`, looking often; what it gave."
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
    return found
