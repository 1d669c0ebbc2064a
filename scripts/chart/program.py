"""Whether the program accepts what the chart writes."""

import json
import shutil
import subprocess


def program_accepts(tally, binary, configurations, scratch):
    certificate = key = None
    if shutil.which("openssl"):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=example.org",
                        "-keyout", scratch / "tls.key", "-out", scratch / "tls.crt"], check=True, capture_output=True)
        certificate, key = (scratch / "tls.crt").read_text(), (scratch / "tls.key").read_text()
    for number, text in enumerate(sorted(configurations)):
        config, files = json.loads(text)
        if certificate is None and any(content == "CERTIFICATE" or path.endswith("/tls.crt") for path, content in files.items()):
            continue
        folder = scratch / f"configuration-{number}"
        for path, content in files.items():
            content = {"CERTIFICATE": certificate, "KEY": key}.get(content, content)
            place = folder / path.removeprefix("/etc/matrixbot/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(content.replace("/etc/matrixbot", str(folder)))
        run = subprocess.run([binary, "check", "--config", str(folder / config.removeprefix("/etc/matrixbot/"))],
                             capture_output=True, text=True, env={"PAGER_TOKEN": "s3cret"})
        tally.check("`matrixbot check` accepts a rendered configuration", [] if run.returncode == 0 else [run.stderr, (folder / "config/config.yaml").read_text()])
