"""certificate: self-signed ones for localhost, made by openssl."""
import subprocess


def make(path, key_path, *more):
    """Both as PEM; more are arguments of openssl req."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-keyout", key_path, "-out", path, "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", *more], check=True, capture_output=True)
