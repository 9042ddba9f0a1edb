use super::Fingerprint;
use crate::files;
use crate::protocol::pairing::{self, HostKey};
use ::aws_lc_rs::{rand, rsa, signature};
use anyhow::{Context, anyhow, bail};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Certificate and key in one file, so that a crash cannot leave one without the other.
const FILE: &str = "host.pem";

/// The host's own certificate and key. Clients pin the certificate, so it is made once and kept.
pub struct Identity {
    /// UUID by which clients recognise this host; follows from the certificate.
    pub unique_id: String,
    pub certificate_pem: String,
    certified_key: Arc<CertifiedKey>,
    /// Signature bits of the certificate: part of what pairing hashes.
    signature: Vec<u8>,
    key: rsa::KeyPair,
}

impl Identity {
    /// Reads `host.pem` in `state_dir`, or makes it: an RSA certificate of 2048 bits and its key. Takes up to a second
    /// when it has to make one.
    pub fn load_or_create(state_dir: &Path) -> anyhow::Result<Self> {
        let path = state_dir.join(FILE);
        let pem = match std::fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let pem = generate()?;
                files::write_private(&path, pem.as_bytes())
                    .with_context(|| format!("cannot keep the host certificate in {}", path.display()))?;
                pem
            }
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        Self::from_pem(&pem).with_context(|| {
            format!(
                "{} does not hold this host's certificate and key; put the right file back, or delete it and pair \
                 every client anew",
                path.display()
            )
        })
    }

    fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let certificate_der =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| anyhow!("no certificate: {e}"))?;
        let key_der =
            PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| anyhow!("no key: {e}"))?;
        let key = rsa::KeyPair::from_pkcs8(key_der.secret_pkcs8_der()).context("no RSA key")?;
        let certificate = pairing::Certificate::from_der(certificate_der.to_vec())?;
        if certificate.public_key() != signature::KeyPair::public_key(&key).as_ref() {
            bail!("the key belongs to another certificate");
        }
        let chain = vec![certificate_der.clone()];
        let certified_key = CertifiedKey::from_der(chain, key_der.into(), &aws_lc_rs::default_provider())
            .context("the certificate or the key does not serve for TLS")?;
        Ok(Self {
            unique_id: unique_id(&Fingerprint::of(&certificate_der)),
            certificate_pem: format!("{}\n", certificate_pem(pem).context("no certificate")?),
            signature: certificate.signature().to_vec(),
            certified_key: Arc::new(certified_key),
            key,
        })
    }

    /// Certificate and key for the TLS server.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.certified_key
    }
}

impl HostKey for Identity {
    fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    fn certificate_signature(&self) -> &[u8] {
        &self.signature
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut signature)
            .expect("the buffer is as long as the modulus");
        signature
    }
}

/// Certificate and key, both as PEM.
fn generate() -> anyhow::Result<String> {
    let key =
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).context("cannot make an RSA key")?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "moonpipe GameStream host");
    // Pinned, never judged by its dates; from 2050 on X.509 writes years in a form that old parsers do not know.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    let certificate = params.self_signed(&key).context("cannot make a certificate")?;
    Ok(certificate.pem() + &key.serialize_pem())
}

/// The part of `pem` that clients are sent.
fn certificate_pem(pem: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let start = pem.find("-----BEGIN CERTIFICATE-----")?;
    let end = start + pem[start..].find(END)? + END.len();
    Some(&pem[start..end])
}

/// The first 16 bytes of the fingerprint, marked as a random (version 4) UUID.
fn unique_id(fingerprint: &Fingerprint) -> String {
    let bytes = *fingerprint.0.first_chunk().expect("a fingerprint has 32 bytes");
    uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let made = Identity::load_or_create(folder.path()).unwrap();
        let read = Identity::load_or_create(folder.path()).unwrap();
        assert_eq!(made.certificate_pem, read.certificate_pem);
        assert_eq!(made.unique_id, read.unique_id);
        assert_eq!(uuid::Uuid::parse_str(&made.unique_id).unwrap().get_version_num(), 4);
        assert!(!made.certificate_pem.contains("PRIVATE"), "clients are sent this text");
        assert!(made.certificate_pem.ends_with("-----END CERTIFICATE-----\n"));
        assert_eq!(
            CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).unwrap(),
            made.certified_key().cert[0]
        );
    }

    #[test]
    fn signs_with_the_key_of_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(folder.path()).unwrap();
        let certificate = pairing::Certificate::from_pem(identity.certificate_pem.as_bytes()).unwrap();
        assert_eq!(certificate.signature(), identity.certificate_signature());
        assert!(certificate.has_signed(b"message", &identity.sign(b"message")));
    }

    #[test]
    fn a_damaged_file_is_kept_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let other = generate().unwrap();
        let (certificate, _) = other.split_at(other.find("-----BEGIN PRIVATE KEY").unwrap());
        for content in
            [String::new(), "nonsense".into(), certificate.into(), certificate.to_owned() + &foreign_key()]
        {
            std::fs::write(&path, &content).unwrap();
            let error = format!("{:#}", Identity::load_or_create(folder.path()).err().unwrap());
            assert!(error.contains("host.pem") && error.contains("delete it"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    /// A key of another certificate.
    fn foreign_key() -> String {
        let other = generate().unwrap();
        other[other.find("-----BEGIN PRIVATE KEY").unwrap()..].to_owned()
    }
}
