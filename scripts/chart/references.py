"""Whether everything that an object names is there: volumes, keys, ports, Services, selectors, certificates, files."""

import base64
import fnmatch

import yaml


class World:
    """The objects of a release, and the Secrets that are there without it."""

    def __init__(self, objects, outside):
        self.objects = objects
        self.secrets = {name: set(keys) for name, keys in outside.items()}
        self.configmaps = {}
        self.accounts = {"default"}
        self.services = {}
        self.deployments = []
        self.pods = []
        for one in objects:
            kind, name = one["kind"], one["metadata"]["name"]
            if kind == "Secret":
                self.secrets[name] = set(one.get("data") or {})
            elif kind == "ConfigMap":
                self.configmaps[name] = set(one.get("data") or {})
            elif kind == "ServiceAccount":
                self.accounts.add(name)
            elif kind == "Service":
                self.services[name] = one
            elif kind == "Certificate":
                self.secrets[one["spec"]["secretName"]] = {"tls.crt", "tls.key"}
            elif kind == "Cluster":
                self.secrets[f"{name}-app"] = {"uri", "username", "password"}
            elif kind == "Pod":
                self.pods.append((one, one["metadata"].get("labels") or {}, one["spec"]))
            if kind in ("Deployment", "Job"):
                template = one["spec"]["template"]
                self.pods.append((one, template["metadata"].get("labels") or {}, template["spec"]))
            if kind == "Deployment":
                self.deployments.append(one)

    def secret_text(self, name, key):
        for one in self.objects:
            if one["kind"] == "Secret" and one["metadata"]["name"] == name and key in one["data"]:
                return base64.b64decode(one["data"][key]).decode()
        return None


def matches(selector, labels):
    return all(labels.get(name) == value for name, value in selector.items())


def problems(objects, outside):
    """What points nowhere, or to more than it should."""
    world = World(objects, outside)
    found = []
    names = [(one["apiVersion"], one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    found += [f"{kind}/{name} is there twice" for _, kind, _, name in {n for n in names if names.count(n) > 1}]
    for owner, labels, spec in world.pods:
        found += [f"{owner['kind']}/{owner['metadata']['name']}: {problem}" for problem in pod(world, owner, labels, spec)]
    for one in objects:
        check = CHECKS.get(one["kind"])
        if check:
            found += [f"{one['kind']}/{one['metadata']['name']}: {problem}" for problem in check(world, one)]
        found += [f"{one['kind']}/{one['metadata']['name']}: {problem}" for problem in names_and_labels(one)]
    return found


def names_and_labels(one):
    if len(one["metadata"]["name"]) > 63:
        yield "its name is longer than 63 characters"
    for name, value in (one["metadata"].get("labels") or {}).items():
        if len(value) > 63:
            yield f"the label {name} is longer than 63 characters"


def containers(spec):
    return (spec.get("initContainers") or []) + spec["containers"]


def pod(world, owner, labels, spec):
    account = spec.get("serviceAccountName", "default")
    if account not in world.accounts:
        yield f"there is no ServiceAccount {account}"
    if "helm.sh/hook" in (owner["metadata"].get("annotations") or {}) and owner["kind"] == "Job" and account != "default":
        yield f"it runs before there is a ServiceAccount {account}"
    for secret in spec.get("imagePullSecrets") or []:
        if secret["name"] not in world.secrets:
            yield f"there is no Secret {secret['name']} to pull with"
    volumes = {}
    for volume in spec.get("volumes") or []:
        if volume["name"] in volumes:
            yield f"the volume {volume['name']} is there twice"
        volumes[volume["name"]] = volume
        yield from held(world, volume)
    mounted = set()
    for container in containers(spec):
        ports = [port["name"] for port in container.get("ports") or []]
        numbers = [port["containerPort"] for port in container.get("ports") or []]
        if len(set(ports)) != len(ports) or len(set(numbers)) != len(numbers):
            yield f"{container['name']} has a port twice"
        paths = [mount["mountPath"] for mount in container.get("volumeMounts") or []]
        if len(set(paths)) != len(paths):
            yield f"{container['name']} mounts twice at one path"
        for mount in container.get("volumeMounts") or []:
            mounted.add(mount["name"])
            if mount["name"] not in volumes:
                yield f"{container['name']} mounts {mount['name']}, which is no volume"
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            port = container.get(probe, {}).get("httpGet", {}).get("port")
            if port is not None and port not in ports and port not in numbers:
                yield f"{container['name']}: {probe} asks the port {port}, which it does not have"
        for variable in container.get("env") or []:
            source = variable.get("valueFrom", {}).get("secretKeyRef")
            if source and source["key"] not in world.secrets.get(source["name"], ()):
                yield f"{container['name']}: {variable['name']} comes from {source['name']}/{source['key']}, which is not there"
        for source in container.get("envFrom") or []:
            if "secretRef" in source and source["secretRef"]["name"] not in world.secrets:
                yield f"{container['name']}: there is no Secret {source['secretRef']['name']}"
            if "configMapRef" in source and source["configMapRef"]["name"] not in world.configmaps:
                yield f"{container['name']}: there is no ConfigMap {source['configMapRef']['name']}"
        yield from hardened(spec, container) if container["name"] in ("matrixbot", "migrate", "test") else ()
    for name in volumes.keys() - mounted:
        yield f"nothing mounts the volume {name}"
    for constraint in spec.get("topologySpreadConstraints") or []:
        if not matches(constraint["labelSelector"]["matchLabels"], labels):
            yield f"it is spread over {constraint['topologyKey']} by labels that it does not have"


def held(world, volume):
    """Whether what a volume shows is there."""
    for kind, name_key, known in (("secret", "secretName", world.secrets), ("configMap", "name", world.configmaps)):
        if kind not in volume:
            continue
        name = volume[kind][name_key]
        if name not in known:
            yield f"the volume {volume['name']} shows the {kind} {name}, which is not there"
            continue
        for item in volume[kind].get("items") or []:
            if item["key"] not in known[name]:
                yield f"the volume {volume['name']} shows {name}/{item['key']}, which is not there"


def hardened(spec, container):
    """The least that a pod of ours keeps to."""
    outer, inner = spec.get("securityContext", {}), container.get("securityContext", {})
    wanted = {
        "runs as root": outer.get("runAsNonRoot") is True and outer.get("runAsUser") == 65532,
        "has no seccomp profile": outer.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "can write to its root": inner.get("readOnlyRootFilesystem") is True,
        "can gain privileges": inner.get("allowPrivilegeEscalation") is False,
        "has capabilities": inner.get("capabilities", {}).get("drop") == ["ALL"],
        "has a token of the API server": spec.get("automountServiceAccountToken") is False,
    }
    return [f"{container['name']} {problem}" for problem, holds in wanted.items() if not holds]


def deployment(world, one):
    spec = one["spec"]
    if not matches(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
        yield "its selector does not match its pods"
    if "app.kubernetes.io/version" in spec["selector"]["matchLabels"]:
        yield "its selector changes with the version, which Kubernetes refuses"
    annotations = spec["template"]["metadata"].get("annotations") or {}
    if "checksum/config" not in annotations:
        yield "its pods stay as they are when the configuration changes"
    if spec["template"]["spec"]["terminationGracePeriodSeconds"] < 90:
        yield "its pods are killed before they have finished what they hold"


def selected(world, selector):
    """The pods that a selector means."""
    return [owner for owner, labels, _ in world.pods if matches(selector, labels)]


def only_the_deployment(world, selector):
    chosen = selected(world, selector)
    if [owner["kind"] for owner in chosen] != ["Deployment"]:
        yield f"its selector means {[owner['kind'] + '/' + owner['metadata']['name'] for owner in chosen]}, not the Deployment alone"


def service(world, one):
    yield from only_the_deployment(world, one["spec"]["selector"])
    for owner in selected(world, one["spec"]["selector"]):
        container = owner["spec"]["template"]["spec"]["containers"][0] if owner["kind"] == "Deployment" else {}
        for port in one["spec"]["ports"]:
            if port["targetPort"] not in [p["name"] for p in container.get("ports") or []]:
                yield f"its port leads to {port['targetPort']}, which no container has"
            if port["targetPort"] != "admin" and one["spec"].get("publishNotReadyAddresses") is not True:
                yield "it does not lead to pods that are not ready"


def ingress(world, one):
    for rule in one["spec"]["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            target = world.services.get(backend["name"])
            if target is None:
                yield f"there is no Service {backend['name']}"
            elif backend["port"]["name"] not in [port["name"] for port in target["spec"]["ports"]]:
                yield f"the Service {backend['name']} has no port {backend['port']['name']}"
    hosts = {rule["host"] for rule in one["spec"]["rules"]}
    for tls in one["spec"].get("tls") or []:
        if "tls.crt" not in world.secrets.get(tls["secretName"], ()):
            yield f"there is no Secret {tls['secretName']} with a certificate"
        if set(tls["hosts"]) != hosts:
            yield "not all of its hosts have TLS"
        for certificate in (c for c in world.objects if c["kind"] == "Certificate" and c["spec"]["secretName"] == tls["secretName"]):
            for host in hosts:
                if not any(fnmatch.fnmatch(host, name) for name in certificate["spec"]["dnsNames"]):
                    yield f"its certificate does not vouch for {host}"


def service_monitor(world, one):
    chosen = [s for s in world.services.values() if matches(one["spec"]["selector"]["matchLabels"], s["metadata"]["labels"])]
    if len(chosen) != 1:
        yield f"it means {len(chosen)} Services, not one"
        return
    if chosen[0]["metadata"]["namespace"] not in one["spec"]["namespaceSelector"]["matchNames"]:
        yield "it looks for the Service in another namespace"
    for endpoint in one["spec"]["endpoints"]:
        port = next((p for p in chosen[0]["spec"]["ports"] if p["name"] == endpoint["port"]), None)
        if port is None:
            yield f"the Service {chosen[0]['metadata']['name']} has no port {endpoint['port']}"
        elif port["appProtocol"] != endpoint["scheme"]:
            yield f"it speaks {endpoint['scheme']} to a port that speaks {port['appProtocol']}"


def policy(world, one):
    yield from only_the_deployment(world, one["spec"]["podSelector"]["matchLabels"])
    ports = {port["name"] for d in world.deployments for port in d["spec"]["template"]["spec"]["containers"][0]["ports"]}
    for rule in one["spec"].get("ingress") or []:
        for port in rule["ports"]:
            if port["port"] not in ports:
                yield f"it lets in to the port {port['port']}, which no container has"
        for peer in rule.get("from") or []:
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            if labels.get("app.kubernetes.io/component") == "test" and [p["kind"] for p in selected(world, labels)] != ["Pod"]:
                yield "it does not let in the pod of `helm test`"


CHECKS = {
    "Deployment": deployment,
    "Service": service,
    "Ingress": ingress,
    "ServiceMonitor": service_monitor,
    "NetworkPolicy": policy,
    "PodDisruptionBudget": lambda world, one: only_the_deployment(world, one["spec"]["selector"]["matchLabels"]),
}


def files(objects, outside, owner_kind="Deployment", stand_in=lambda secret, key: None):
    """What a pod of ours finds below /etc/matrixbot: path to text. Texts of Secrets from outside come from `stand_in`."""
    world = World(objects, outside)
    owner, _, spec = next(entry for entry in world.pods if entry[0]["kind"] == owner_kind)
    container = next(c for c in spec["containers"] if c["name"] in ("matrixbot", "migrate"))
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    found = {}
    for mount in container["volumeMounts"]:
        # What is not there at all, `problems` tells.
        volume = volumes.get(mount["name"], {})
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            items = volume["secret"].get("items") or [{"key": key, "path": key} for key in world.secrets.get(name, ())]
            for item in items:
                text = world.secret_text(name, item["key"])
                found[f"{mount['mountPath']}/{item['path']}"] = stand_in(name, item["key"]) if text is None else text
        elif "configMap" in volume:
            text = next(o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == volume["configMap"]["name"])["data"]
            found.update({f"{mount['mountPath']}/{key}": value for key, value in text.items()})
    variables = {variable["name"]: variable.get("value") for variable in container.get("env") or []}
    return found, variables, container


def configuration_problems(objects, outside):
    """Whether config.yaml names files that the pod has, and listens where its ports are."""
    found, variables, container = files(objects, outside, stand_in=lambda *_: "")
    config = yaml.safe_load(found.get(variables["MATRIXBOT_CONFIG"], "null"))
    if config is None:
        return [f"MATRIXBOT_CONFIG names {variables['MATRIXBOT_CONFIG']}, which is not there"]
    problems = []

    def look(node, path):
        if isinstance(node, dict):
            for key, value in node.items():
                look(value, f"{path}.{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                look(value, f"{path}[{index}]")
        elif isinstance(node, str) and node.startswith("/etc/matrixbot/") and node not in found:
            problems.append(f"config.yaml{path} names {node}, which is not there")

    look(config, "")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for listener, listens in config["listen"].items():
        if int(listens["address"].rsplit(":", 1)[1]) != ports.get(listener):
            problems.append(f"{listener} listens on {listens['address']}, not on its container port {ports.get(listener)}")
        speaks = "https" if "tls" in listens else "http"
        for one in objects:
            if one["kind"] == "Service":
                for port in one["spec"]["ports"]:
                    if port["targetPort"] == listener and port["appProtocol"] != speaks:
                        problems.append(f"the Service of {listener} says {port['appProtocol']}, the listener speaks {speaks}")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asks = container[probe]["httpGet"]["scheme"]
        if asks != ("HTTPS" if "tls" in config["listen"]["admin"] else "HTTP"):
            problems.append(f"{probe} asks by {asks}")
    return problems
