"""A stand-in for a Kubernetes API server: enough of one, on loopback, for Helm to install, upgrade, test and remove.

It keeps objects in memory and validates nothing; other tests validate what Helm sends. Jobs and Pods succeed as soon as
they are created, so that hooks end.
"""

import http.server
import json
import re
import threading
import urllib.parse
import uuid

# API version: resource to kind. Only namespaces are outside of a namespace.
RESOURCES = {
    "v1": {"namespaces": "Namespace", "configmaps": "ConfigMap", "secrets": "Secret", "services": "Service", "serviceaccounts": "ServiceAccount", "pods": "Pod"},
    "apps/v1": {"deployments": "Deployment"},
    "batch/v1": {"jobs": "Job"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "networking.k8s.io/v1": {"ingresses": "Ingress", "networkpolicies": "NetworkPolicy"},
    "cert-manager.io/v1": {"certificates": "Certificate"},
    "monitoring.coreos.com/v1": {"servicemonitors": "ServiceMonitor", "prometheusrules": "PrometheusRule"},
    "postgresql.cnpg.io/v1": {"clusters": "Cluster"},
}
OBJECT = re.compile(r"^/apis?/(?P<version>v1|[^/]+/[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?/(?P<resource>[a-z]+)(?:/(?P<name>[^/]+))?$")
NAMESPACE = re.compile(r"^/api/(?P<version>v1)/(?P<resource>namespaces)(?:/(?P<name>[^/]+))?$")
DONE = "2026-01-01T00:00:00Z"
CONDITION = {"status": "True", "lastProbeTime": DONE, "lastTransitionTime": DONE}
STATUS = {
    "Job": {"succeeded": 1, "startTime": DONE, "completionTime": DONE,
            "conditions": [{**CONDITION, "type": kind} for kind in ("SuccessCriteriaMet", "Complete")]},
    "Pod": {"phase": "Succeeded"},
}


class ApiServer:
    """One server. `objects` has its objects by (API version, resource, namespace, name)."""

    def __init__(self, minor):
        self.minor = minor
        self.objects = {}
        self.revision = 0
        self.changed = threading.Condition()
        self.server = _Server(("127.0.0.1", 0), type("BoundHandler", (_Handler,), {"api": self}))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def kubeconfig(self, namespace):
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
        """Its objects, as kind/name."""
        return {f"{one['kind']}/{one['metadata']['name']}" for one in list(self.objects.values())}

    def keep(self, key, new):
        with self.changed:
            self.revision += 1
            metadata = new.setdefault("metadata", {})
            metadata["resourceVersion"] = str(self.revision)
            metadata["uid"] = metadata.get("uid") or str(uuid.uuid4())
            metadata["creationTimestamp"] = metadata.get("creationTimestamp") or DONE
            if new["kind"] in STATUS:
                new["status"] = STATUS[new["kind"]]
            self.objects[key] = new
            self.changed.notify_all()
        return new

    def remove(self, key):
        with self.changed:
            self.revision += 1
            self.changed.notify_all()
            return self.objects.pop(key, None)


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, *_):
        """Helm closed the connection in the middle of a watch. Helm reports every other error itself."""


class _Handler(http.server.BaseHTTPRequestHandler):
    api = None
    protocol_version = "HTTP/1.1"
    # One packet per answer; otherwise each waits 40 ms for the acknowledgement of its head.
    wbufsize = -1

    def log_message(self, *_):
        pass

    def send(self, code, kind, content):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def answer(self, code, body):
        self.send(code, "application/json", json.dumps(body).encode())

    def error(self, code, reason):
        message = f"{reason}: {self.command} {self.path}"
        self.answer(code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message})

    def found(self, one):
        return self.answer(200, one) if one else self.error(404, "NotFound")

    def handle_request(self):
        path, _, query = self.path.partition("?")
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if raw and raw[:1] not in (b"{", b"["):
            # Protobuf; clients then speak JSON.
            return self.error(415, "UnsupportedMediaType")
        if path == "/openapi/v2":
            # Empty protobuf: a description without definitions, which allows every object.
            return self.send(200, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf", b"")
        if (discovered := discovery(path, self.api.minor)) is not None:
            return self.answer(200, discovered)
        match = NAMESPACE.match(path) or OBJECT.match(path)
        parts = match.groupdict() if match else {}
        kind = RESOURCES.get(parts.get("version"), {}).get(parts.get("resource"))
        if kind is None:
            return self.error(404, "NotFound")
        key = (parts["version"], parts["resource"], parts.get("namespace") or "", parts["name"])
        return getattr(self, f"on_{self.command.lower()}")(key, kind, json.loads(raw or b"null"), dict(urllib.parse.parse_qsl(query)))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def on_get(self, key, kind, _body, query):
        if key[3]:
            return self.found(self.api.objects.get(key))
        if query.get("watch") in ("true", "1"):
            return self.watch(key, kind, query)
        items = list(self.selected(key, query).values())
        self.answer(200, {"kind": f"{kind}List", "apiVersion": key[0], "metadata": {"resourceVersion": str(self.api.revision)}, "items": items})

    def on_post(self, key, kind, body, _query):
        key = (*key[:3], body["metadata"]["name"])
        if key in self.api.objects:
            return self.error(409, "AlreadyExists")
        if key[2]:
            body["metadata"]["namespace"] = key[2]
        self.answer(201, self.api.keep(key, {"apiVersion": key[0], "kind": kind, **body}))

    def on_put(self, key, kind, body, _query):
        self.answer(200, self.api.keep(key, {"apiVersion": key[0], "kind": kind, **body}))

    def on_patch(self, key, kind, body, query):
        if "apply" in self.headers.get("Content-Type", ""):
            return self.on_put(key, kind, body, query)
        before = self.api.objects.get(key)
        self.found(before and self.api.keep(key, merged(before, body)))

    def on_delete(self, key, *_):
        self.found(self.api.remove(key))

    def selected(self, wanted, query):
        """The objects of a list or a watch."""
        labels = [pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if "=" in pair]
        fields = dict(pair.split("=", 1) for pair in query.get("fieldSelector", "").split(",") if "=" in pair)
        return {key: one for key, one in list(self.api.objects.items())
                if key[:2] == wanted[:2] and wanted[2] in ("", key[2]) and fields.get("metadata.name", key[3]) == key[3]
                and all((one["metadata"].get("labels") or {}).get(name) == value for name, value in labels)}

    def watch(self, wanted, kind, query):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        seen, since, initial = {}, int(query.get("resourceVersion") or 0), query.get("sendInitialEvents") == "true"

        def send(event, metadata=None, one=None):
            line = json.dumps({"type": event, "object": one or {"kind": kind, "apiVersion": wanted[0], "metadata": metadata}}).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

        try:
            while True:
                with self.api.changed:
                    now = self.selected(wanted, query)
                    versions = {key: one["metadata"]["resourceVersion"] for key, one in now.items()}
                    changed = [key for key in now if seen.get(key) != versions[key] and int(versions[key]) > since]
                    gone = [key for key in seen if key not in now]
                    events = [("MODIFIED" if key in seen else "ADDED", now[key]) for key in changed]
                    seen = versions
                    if not events and not gone and not initial:
                        self.api.changed.wait(0.2)
                for event, one in events:
                    send(event, one=one)
                for key in gone:
                    send("DELETED", {"name": key[3], "namespace": key[2]})
                if initial or not events and not gone:
                    # The first one ends the initial events; later ones fail when the client has closed the connection.
                    notes = {"annotations": {"k8s.io/initial-events-end": "true"}} if initial else {}
                    send("BOOKMARK", {"resourceVersion": str(self.api.revision), **notes})
                initial = False
        except OSError:
            self.close_connection = True


def merged(old, patch):
    """A merge patch: maps are merged, null removes, everything else replaces."""
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    both = {**old, **{key: merged(old.get(key), value) for key, value in patch.items() if not key.startswith("$")}}
    return {key: value for key, value in both.items() if value is not None}


def discovery(path, minor):
    """The answer about versions and resources, or None for other paths."""
    groups = [version.split("/") for version in RESOURCES if "/" in version]
    one = lambda group, version: {"groupVersion": f"{group}/{version}", "version": version}  # noqa: E731
    fixed = {
        "/version": {"major": "1", "minor": str(minor), "gitVersion": f"v1.{minor}.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [
            {"name": group, "versions": [one(group, version)], "preferredVersion": one(group, version)} for group, version in groups]},
    }
    version = re.sub("^/apis?/", "", path)
    if version in RESOURCES:
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": [
            {"name": name, "singularName": kind.lower(), "namespaced": kind != "Namespace", "kind": kind, "verbs": verbs}
            for name, kind in RESOURCES[version].items()]}
    return fixed.get(path)
