"""A stand-in for a Kubernetes API server: enough of one, on loopback, for Helm to install, upgrade, test and remove.

It keeps objects in memory and checks nothing; what Helm sends it is checked elsewhere. Jobs and Pods succeed as soon as
they are made, so that hooks end.
"""

import http.server
import json
import re
import socketserver
import threading
import urllib.parse
import uuid

# API version: (resource, kind, whether it lives in a namespace)
RESOURCES = {
    "v1": [
        ("namespaces", "Namespace", False),
        ("configmaps", "ConfigMap", True),
        ("secrets", "Secret", True),
        ("services", "Service", True),
        ("serviceaccounts", "ServiceAccount", True),
        ("pods", "Pod", True),
    ],
    "apps/v1": [("deployments", "Deployment", True)],
    "batch/v1": [("jobs", "Job", True)],
    "policy/v1": [("poddisruptionbudgets", "PodDisruptionBudget", True)],
    "networking.k8s.io/v1": [("ingresses", "Ingress", True), ("networkpolicies", "NetworkPolicy", True)],
    "cert-manager.io/v1": [("certificates", "Certificate", True)],
    "monitoring.coreos.com/v1": [("servicemonitors", "ServiceMonitor", True), ("prometheusrules", "PrometheusRule", True)],
    "postgresql.cnpg.io/v1": [("clusters", "Cluster", True)],
}
OBJECT = re.compile(r"^/(?:api|apis)/(?P<version>v1|[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?$")
NAMESPACE = re.compile(r"^/api/(?P<version>v1)/(?P<resource>namespaces)(?:/(?P<name>[^/]+))?$")
DONE = "2026-01-01T00:00:00Z"


class ApiServer:
    """One server. `objects` is what it holds, by (API version, resource, namespace, name)."""

    def __init__(self, minor):
        self.minor = minor
        self.objects = {}
        self.revision = 0
        self.changed = threading.Condition()
        self.server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def kubeconfig(self, namespace):
        """How to reach it."""
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        return json.dumps({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "stand-in", "cluster": {"server": address}}],
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "anybody", "namespace": namespace}}],
            "current-context": "stand-in",
            "users": [{"name": "anybody", "user": {}}],
        })

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def names(self):
        """What it holds, as kind/name."""
        return sorted(f"{o['kind']}/{o['metadata']['name']}" for o in list(self.objects.values()))

    def keep(self, key, new):
        with self.changed:
            self.revision += 1
            new.setdefault("metadata", {}).update(
                resourceVersion=str(self.revision),
                uid=new["metadata"].get("uid") or str(uuid.uuid4()),
                creationTimestamp=new["metadata"].get("creationTimestamp") or DONE,
            )
            if new["kind"] == "Job":
                condition = {"status": "True", "lastProbeTime": DONE, "lastTransitionTime": DONE}
                new["status"] = {
                    "succeeded": 1,
                    "startTime": DONE,
                    "completionTime": DONE,
                    "conditions": [{**condition, "type": kind} for kind in ("SuccessCriteriaMet", "Complete")],
                }
            elif new["kind"] == "Pod":
                new["status"] = {"phase": "Succeeded"}
            self.objects[key] = new
            self.changed.notify_all()
        return new

    def remove(self, key):
        with self.changed:
            gone = self.objects.pop(key, None)
            self.revision += 1
            self.changed.notify_all()
        return gone


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        """Helm has hung up in the middle of a watch. What else goes wrong here, Helm tells."""


def _handler(api):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One packet per answer; otherwise each waits 40 ms for the acknowledgement of its head.
        wbufsize = -1

        def log_message(self, *_):
            pass

        def answer(self, code, body):
            self.send(code, "application/json", json.dumps(body).encode())

        def send(self, code, kind, content):
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()

        def error(self, code, reason):
            message = f"{reason}: {self.command} {self.path}"
            self.answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message})

        def handle_request(self):
            path, _, query = self.path.partition("?")
            query = dict(urllib.parse.parse_qsl(query))
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length) if length else b""
            if raw and raw[:1] not in (b"{", b"["):
                # Protobuf; clients then speak JSON.
                return self.error(415, "UnsupportedMediaType")
            body = json.loads(raw) if raw else None
            if path == "/openapi/v2":
                # Nothing in protobuf: a description without definitions, by which anything may be sent.
                return self.send(200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", b"")
            discovered = discovery(path, api.minor)
            if discovered is not None:
                return self.answer(200, discovered)
            found = NAMESPACE.match(path) or OBJECT.match(path)
            known = found and {resource: kind for resource, kind, _ in RESOURCES.get(found["version"], [])}
            if not found or found["resource"] not in known:
                return self.error(404, "NotFound")
            kind = known[found["resource"]]
            namespace = found.groupdict().get("namespace") or ""
            key = (found["version"], found["resource"], namespace, found["name"])
            return getattr(self, f"on_{self.command.lower()}")(key, kind, body, query)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

        def on_get(self, key, kind, _body, query):
            if key[3]:
                found = api.objects.get(key)
                return self.answer(200, found) if found else self.error(404, "NotFound")
            if query.get("watch") in ("true", "1"):
                return self.watch(key, kind, query)
            items = [o for k, o in list(api.objects.items()) if self.selected(k, o, key, query)]
            self.answer(200, {"kind": f"{kind}List", "apiVersion": key[0], "metadata": {"resourceVersion": str(api.revision)}, "items": items})

        @staticmethod
        def selected(key, found, wanted, query):
            labels = found["metadata"].get("labels") or {}
            pairs = [pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if "=" in pair]
            fields = dict(pair.split("=", 1) for pair in query.get("fieldSelector", "").split(",") if "=" in pair)
            return (
                key[:2] == wanted[:2]
                and wanted[2] in ("", key[2])
                and all(labels.get(name) == value for name, value in pairs)
                and fields.get("metadata.name", key[3]) == key[3]
            )

        def watch(self, wanted, kind, query):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            seen = {}

            def tell(event, found):
                line = json.dumps({"type": event, "object": found}).encode() + b"\n"
                self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
                self.wfile.flush()

            since = int(query.get("resourceVersion") or 0)
            initial = query.get("sendInitialEvents") == "true"
            try:
                while True:
                    with api.changed:
                        now = {k: o for k, o in api.objects.items() if self.selected(k, o, wanted, query)}
                        events = [("MODIFIED" if k in seen else "ADDED", o) for k, o in now.items()
                                  if seen.get(k) != o["metadata"]["resourceVersion"] and int(o["metadata"]["resourceVersion"]) > since]
                        events += [("DELETED", {"kind": kind, "apiVersion": wanted[0], "metadata": {"name": k[3], "namespace": k[2]}})
                                   for k in seen if k not in now]
                        seen = {k: o["metadata"]["resourceVersion"] for k, o in now.items()}
                        if not events and not initial:
                            api.changed.wait(0.2)
                    for event, found in events:
                        tell(event, found)
                    if initial or not events:
                        # The first one ends what was there before; later ones notice that nobody listens any more.
                        notes = {"annotations": {"k8s.io/initial-events-end": "true"}} if initial else {}
                        tell("BOOKMARK", {"kind": kind, "apiVersion": wanted[0], "metadata": {"resourceVersion": str(api.revision), **notes}})
                    initial = False
            except OSError:
                self.close_connection = True

        def on_post(self, key, kind, body, _query):
            key = (*key[:3], body["metadata"]["name"])
            if key in api.objects:
                return self.error(409, "AlreadyExists")
            if key[2]:
                body["metadata"]["namespace"] = key[2]
            self.answer(201, api.keep(key, {"apiVersion": key[0], "kind": kind, **body}))

        def on_put(self, key, kind, body, _query):
            self.answer(200, api.keep(key, {"apiVersion": key[0], "kind": kind, **body}))

        def on_patch(self, key, kind, body, _query):
            before = api.objects.get(key)
            if "apply" in self.headers.get("Content-Type", ""):
                return self.answer(200, api.keep(key, {"apiVersion": key[0], "kind": kind, **body}))
            if before is None:
                return self.error(404, "NotFound")
            self.answer(200, api.keep(key, merged(before, body)))

        def on_delete(self, key, _kind, _body, _query):
            gone = api.remove(key)
            return self.answer(200, gone) if gone else self.error(404, "NotFound")

    return Handler


def merged(old, patch):
    """A merge patch: maps are merged, null removes, everything else replaces."""
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    both = {**old, **{k: merged(old.get(k), v) for k, v in patch.items() if not k.startswith("$")}}
    return {k: v for k, v in both.items() if v is not None}


def discovery(path, minor):
    """What a client may do here, or None."""
    if path == "/version":
        return {"major": "1", "minor": str(minor), "gitVersion": f"v1.{minor}.0"}
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [version.split("/") for version in RESOURCES if "/" in version]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": group, "versions": [{"groupVersion": f"{group}/{version}", "version": version}],
             "preferredVersion": {"groupVersion": f"{group}/{version}", "version": version}}
            for group, version in groups]}
    version = path.removeprefix("/apis/") if path.startswith("/apis/") else path.removeprefix("/api/")
    if version in RESOURCES:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
            {"name": name, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": verbs}
            for name, kind, namespaced in RESOURCES[version]]}
    return None
