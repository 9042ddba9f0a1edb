"""Pairing phases sent one by one, in any order, as no well-behaved client would."""

import hashlib
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509 import load_pem_x509_certificate
from moonlight_python.http_client import NvHTTP


class Phases:
    """Each phase is computed from what the host answered before, and from random bytes where it has not answered."""

    def __init__(self, http, identity, pin):
        self.http, self.identity = http, identity
        self.salt, self.secret, self.challenge = os.urandom(16), os.urandom(16), os.urandom(16)
        self.key = hashlib.sha256(self.salt + pin.encode()).digest()[:16]
        self.host_challenge = os.urandom(16)

    def send(self, phase):
        """{phase, status, paired}; `status` is the XML's status code, or the HTTP one where there is no XML."""
        query = "devicename=roth&updateState=1&" + getattr(self, "_" + phase)()
        try:
            text = self.http.open_http("pair", query, timeout=60)
        except Exception as refused:
            response = getattr(refused, "response", None)
            return {"phase": phase, "status": response.status_code if response is not None else repr(refused), "paired": None}
        if phase == "challenge":
            answer = NvHTTP.get_xml_string_from_hex(text, "challengeresponse")
            if answer:
                self.host_challenge = self._aes(answer, False)[32:48]
        status = int(text.split('status_code="')[1].split('"')[0]) if 'status_code="' in text else None
        return {"phase": phase, "status": status, "paired": NvHTTP.get_xml_string(text, "paired")}

    def _certificate(self):
        return f"phrase=getservercert&salt={self.salt.hex()}&clientcert={self.identity.cert_pem.hex()}"

    def _challenge(self):
        return f"clientchallenge={self._aes(self.challenge, True).hex()}"

    def _response(self):
        signature = load_pem_x509_certificate(self.identity.cert_pem).signature
        digest = hashlib.sha256(self.host_challenge + signature + self.secret).digest()
        return f"serverchallengeresp={self._aes(digest, True).hex()}"

    def _secret(self):
        signature = self.identity.private_key.sign(self.secret, padding.PKCS1v15(), hashes.SHA256())
        return f"clientpairingsecret={(self.secret + signature).hex()}"

    def _short_challenge(self):
        return "clientchallenge=00ff"

    def _not_hex(self):
        return "clientchallenge=zz" + "q" * 30

    def _aes(self, data, encrypt):
        cipher = Cipher(algorithms.AES(self.key), modes.ECB())
        worker = cipher.encryptor() if encrypt else cipher.decryptor()
        return worker.update(data) + worker.finalize()
