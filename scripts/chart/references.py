"""Dangling references between objects: volumes, keys, ports, Services, selectors, certificates, files."""

import base64
import collections
import fnmatch

import yaml

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


class World:
    """The objects of a release, and the Secrets that exist without it (name to keys)."""

    def __init__(self, objects, outside):
        self.objects = objects
        self.by_kind = collections.defaultdict(dict)
        for one in objects:
            self.by_kind[one["kind"]][one["metadata"]["name"]] = one
        self.secrets = {
            **{name: set(keys) for name, keys in outside.items()},
            **{name: set(one.get("data") or {}) for name, one in self.by_kind["Secret"].items()},
            **{one["spec"]["secretName"]: {"tls.crt", "tls.key"} for one in self.by_kind["Certificate"].values()},
            **{f"{name}-app": {"uri", "username", "password"} for name in self.by_kind["Cluster"]},
        }
        self.configmaps = {name: set(one.get("data") or {}) for name, one in self.by_kind["ConfigMap"].items()}
        self.accounts = {"default", *self.by_kind["ServiceAccount"]}
        self.services = self.by_kind["Service"]
        templates = {"Deployment": lambda one: one["spec"]["template"], "Job": lambda one: one["spec"]["template"], "Pod": lambda one: one}
        pods = [(one, templates[one["kind"]](one)) for one in objects if one["kind"] in templates]
        # Each with its owner and its labels.
        self.pods = [(one, template["metadata"].get("labels") or {}, template["spec"]) for one, template in pods]

    def secret_text(self, name, key):
        data = self.by_kind["Secret"].get(name, {}).get("data", {})
        return base64.b64decode(data[key]).decode() if key in data else None

    def selected(self, selector):
        """The owners of the pods that a selector matches."""
        return [owner for owner, labels, _ in self.pods if matches(selector, labels)]


def matches(selector, labels):
    return all(labels.get(name) == value for name, value in selector.items())


def repeated(values):
    return sorted(value for value, times in collections.Counter(values).items() if times > 1)


def name_of(one):
    return f"{one['kind']}/{one['metadata']['name']}"


def problems(objects, outside):
    """References to objects that do not exist, or to more than they should match."""
    world = World(objects, outside)
    identities = [(one["apiVersion"], one["metadata"].get("namespace") or "", name_of(one)) for one in objects]
    found = [f"{name} exists twice" for _, _, name in repeated(identities)]
    for owner, labels, spec in world.pods:
        found += [f"{name_of(owner)}: {problem}" for problem in pod(world, owner, labels, spec)]
    for one in objects:
        for check in (names_and_labels, CHECKS.get(one["kind"], lambda *_: ())):
            found += [f"{name_of(one)}: {problem}" for problem in check(world, one)]
    return found


def names_and_labels(_, one):
    names = {"its name": one["metadata"]["name"], **{f"the label {name}": value for name, value in (one["metadata"].get("labels") or {}).items()}}
    return [f"{what} is longer than 63 characters" for what, text in names.items() if len(text) > 63]


def pod(world, owner, labels, spec):
    account = spec.get("serviceAccountName", "default")
    if account not in world.accounts:
        yield f"no ServiceAccount {account}"
    if "helm.sh/hook" in (owner["metadata"].get("annotations") or {}) and owner["kind"] == "Job" and account != "default":
        yield f"it runs before the ServiceAccount {account} exists"
    yield from (f"no Secret {secret['name']} to pull with" for secret in spec.get("imagePullSecrets") or [] if secret["name"] not in world.secrets)
    volumes = [volume["name"] for volume in spec.get("volumes") or []]
    yield from (f"two volumes {name}" for name in repeated(volumes))
    for volume in spec.get("volumes") or []:
        yield from volume_source(world, volume)
    containers = (spec.get("initContainers") or []) + spec["containers"]
    for one in containers:
        yield from (f"{one['name']}: {problem}" for problem in container(world, one, volumes))
        if one["name"] in ("matrixbot", "migrate", "test"):
            yield from (f"{one['name']} {problem}" for problem in privileges(spec, one))
    mounted = {mount["name"] for one in containers for mount in one.get("volumeMounts") or []}
    yield from (f"nothing mounts the volume {name}" for name in volumes if name not in mounted)
    for constraint in spec.get("topologySpreadConstraints") or []:
        if not matches(constraint["labelSelector"]["matchLabels"], labels):
            yield f"it is spread over {constraint['topologyKey']} by labels that it does not have"


def volume_source(world, volume):
    for kind, name_key, known in (("secret", "secretName", world.secrets), ("configMap", "name", world.configmaps)):
        if source := volume.get(kind):
            name = source[name_key]
            if name not in known:
                yield f"the volume {volume['name']} needs the {kind} {name}, which does not exist"
            yield from (f"the volume {volume['name']} needs {name}/{item['key']}, which does not exist"
                        for item in source.get("items") or [] if name in known and item["key"] not in known[name])


def container(world, one, volumes):
    ports, mounts = one.get("ports") or [], one.get("volumeMounts") or []
    for what, values in (("port", [port["name"] for port in ports]), ("port", [port["containerPort"] for port in ports]),
                         ("mount path", [mount["mountPath"] for mount in mounts])):
        yield from (f"the {what} {value} exists twice" for value in repeated(values))
    yield from (f"it mounts {mount['name']}, which is no volume" for mount in mounts if mount["name"] not in volumes)
    for probe in PROBES:
        port = one.get(probe, {}).get("httpGet", {}).get("port")
        if port is not None and not any(port in (known["name"], known["containerPort"]) for known in ports):
            yield f"{probe} calls the port {port}, which it does not have"
    for variable in one.get("env") or []:
        source = variable.get("valueFrom", {}).get("secretKeyRef")
        if source and source["key"] not in world.secrets.get(source["name"], ()):
            yield f"{variable['name']} needs {source['name']}/{source['key']}, which does not exist"
    for source in one.get("envFrom") or []:
        for kind, known in (("secretRef", world.secrets), ("configMapRef", world.configmaps)):
            if kind in source and source[kind]["name"] not in known:
                yield f"the {kind} {source[kind]['name']} does not exist"


def privileges(spec, one):
    """What containers of ours must not have."""
    outer, inner = spec.get("securityContext", {}), one.get("securityContext", {})
    wanted = {
        "runs as root": outer.get("runAsNonRoot") is True and outer.get("runAsUser") == 65532,
        "has no seccomp profile": outer.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "can write to its root": inner.get("readOnlyRootFilesystem") is True,
        "can gain privileges": inner.get("allowPrivilegeEscalation") is False,
        "has capabilities": inner.get("capabilities", {}).get("drop") == ["ALL"],
        "has a token of the API server": spec.get("automountServiceAccountToken") is False,
    }
    return [problem for problem, holds in wanted.items() if not holds]


def deployment(_, one):
    spec, template = one["spec"], one["spec"]["template"]
    if not matches(spec["selector"]["matchLabels"], template["metadata"]["labels"]):
        yield "its selector does not match its pods"
    if "app.kubernetes.io/version" in spec["selector"]["matchLabels"]:
        yield "its selector changes with the version, which Kubernetes rejects"
    if "checksum/config" not in (template["metadata"].get("annotations") or {}):
        yield "a change of the configuration does not replace its pods"
    if template["spec"]["terminationGracePeriodSeconds"] < 90:
        yield "its pods are killed before they have finished in-flight work"


def only_the_deployment(world, selector):
    chosen = [name_of(owner) for owner in world.selected(selector)]
    if [name.split("/")[0] for name in chosen] != ["Deployment"]:
        yield f"its selector matches {chosen}, not the Deployment alone"


def service(world, one):
    yield from only_the_deployment(world, one["spec"]["selector"])
    for owner in world.selected(one["spec"]["selector"]):
        ports = owner["spec"]["template"]["spec"]["containers"][0].get("ports") or [] if owner["kind"] == "Deployment" else []
        for target in (port["targetPort"] for port in one["spec"]["ports"]):
            if target not in [port["name"] for port in ports]:
                yield f"its port leads to {target}, which no container has"
            if target != "admin" and one["spec"].get("publishNotReadyAddresses") is not True:
                yield "it does not lead to pods that are not ready"


def ingress(world, one):
    for backend in (path["backend"]["service"] for rule in one["spec"]["rules"] for path in rule["http"]["paths"]):
        target = world.services.get(backend["name"])
        if not target or backend["port"]["name"] not in [port["name"] for port in target["spec"]["ports"]]:
            yield f"no Service {backend['name']} with a port {backend['port']['name']}"
    hosts = {rule["host"] for rule in one["spec"]["rules"]}
    for tls in one["spec"].get("tls") or []:
        if "tls.crt" not in world.secrets.get(tls["secretName"], ()):
            yield f"no Secret {tls['secretName']} with a certificate"
        if set(tls["hosts"]) != hosts:
            yield "some of its hosts have no TLS"
        for certificate in world.by_kind["Certificate"].values():
            if certificate["spec"]["secretName"] == tls["secretName"]:
                yield from (f"its certificate is not valid for {host}" for host in hosts
                            if not any(fnmatch.fnmatch(host, name) for name in certificate["spec"]["dnsNames"]))


def service_monitor(world, one):
    chosen = [service for service in world.services.values() if matches(one["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])]
    if len(chosen) != 1:
        yield f"it matches {len(chosen)} Services"
        return
    if chosen[0]["metadata"]["namespace"] not in one["spec"]["namespaceSelector"]["matchNames"]:
        yield "it looks for the Service in another namespace"
    ports = {port["name"]: port["appProtocol"] for port in chosen[0]["spec"]["ports"]}
    for endpoint in one["spec"]["endpoints"]:
        if ports.get(endpoint["port"]) != endpoint["scheme"]:
            yield f"the Service {name_of(chosen[0])} has no port {endpoint['port']} that speaks {endpoint['scheme']}"


def network_policy(world, one):
    yield from only_the_deployment(world, one["spec"]["podSelector"]["matchLabels"])
    ports = {port["name"] for owner in world.by_kind["Deployment"].values() for port in owner["spec"]["template"]["spec"]["containers"][0]["ports"]}
    for rule in one["spec"].get("ingress") or []:
        yield from (f"it opens the port {port['port']}, which no container has" for port in rule["ports"] if port["port"] not in ports)
        for labels in (peer.get("podSelector", {}).get("matchLabels", {}) for peer in rule.get("from") or []):
            if labels.get("app.kubernetes.io/component") == "test" and [owner["kind"] for owner in world.selected(labels)] != ["Pod"]:
                yield "it does not admit the pod of `helm test`"


CHECKS = {
    "Deployment": deployment,
    "Service": service,
    "Ingress": ingress,
    "ServiceMonitor": service_monitor,
    "NetworkPolicy": network_policy,
    "PodDisruptionBudget": lambda world, one: only_the_deployment(world, one["spec"]["selector"]["matchLabels"]),
}


def files(objects, outside, owner_kind="Deployment", stand_in=lambda secret, key: None):
    """What matrixbot's container has below /etc/matrixbot (path to text), its variables, and the container.

    `stand_in` gives the texts of the Secrets from outside.
    """
    world = World(objects, outside)
    spec = next(spec for owner, _, spec in world.pods if owner["kind"] == owner_kind)
    one = next(one for one in spec["containers"] if one["name"] in ("matrixbot", "migrate"))
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    found = {}
    for mount in one["volumeMounts"]:
        # `problems` reports mounts without a volume.
        volume = volumes.get(mount["name"], {})
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            for item in volume["secret"].get("items") or [{"key": key, "path": key} for key in world.secrets.get(name, ())]:
                text = world.secret_text(name, item["key"])
                found[f"{mount['mountPath']}/{item['path']}"] = stand_in(name, item["key"]) if text is None else text
        elif "configMap" in volume:
            data = world.by_kind["ConfigMap"][volume["configMap"]["name"]]["data"]
            found.update({f"{mount['mountPath']}/{key}": text for key, text in data.items()})
    return found, {variable["name"]: variable.get("value") for variable in one.get("env") or []}, one


def texts(node, path=""):
    """Every text in a configuration, with its path."""
    if isinstance(node, str):
        yield path, node
    for key, below in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from texts(below, f"{path}.{key}")


def configuration_problems(objects, outside):
    """Whether config.yaml names files that the pod has, and listens where its ports are."""
    found, variables, one = files(objects, outside, stand_in=lambda *_: "")
    config = yaml.safe_load(found.get(variables["MATRIXBOT_CONFIG"], "null"))
    if config is None:
        yield f"MATRIXBOT_CONFIG names {variables['MATRIXBOT_CONFIG']}, which does not exist"
        return
    yield from (f"config.yaml{path} names {text}, which does not exist" for path, text in texts(config) if text.startswith("/etc/matrixbot/") and text not in found)
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    for listener, listens in config["listen"].items():
        if int(listens["address"].rsplit(":", 1)[1]) != ports.get(listener):
            yield f"{listener} listens on {listens['address']}, not on its container port {ports.get(listener)}"
        speaks = "https" if "tls" in listens else "http"
        yield from (f"{name_of(service)} says {port['appProtocol']}, its listener speaks {speaks}" for service in objects if service["kind"] == "Service"
                    for port in service["spec"]["ports"] if port["targetPort"] == listener and port["appProtocol"] != speaks)
    scheme = "HTTPS" if "tls" in config["listen"]["admin"] else "HTTP"
    yield from (f"{probe} calls by {one[probe]['httpGet']['scheme']}" for probe in PROBES if one[probe]["httpGet"]["scheme"] != scheme)
