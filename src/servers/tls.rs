//! TLS as Moonlight clients speak it: both sides show self-signed certificates. The client pins the host's; the host
//! lets every certificate in, makes sure that the client holds its key, and decides later, by fingerprint.

use crate::identity::Identity;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved};
use rustls::{ServerConfig, SignatureScheme};
use std::sync::Arc;
use x509_parser::asn1_rs::Any;
use x509_parser::prelude::{FromDer, X509Certificate};

/// What the HTTPS port speaks: TLS 1.2 and 1.3, a client certificate wanted but not demanded.
pub fn server_config(identity: &Identity) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(HoldsItsKey { algorithms: provider.signature_verification_algorithms });
    let certificate = SingleCertAndKey::from(identity.certified_key().clone());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("aws-lc-rs has suites for both")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificate));
    // Each request is a connection, and each connection proves anew who the client is.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// Takes any certificate: expired, of X.509 version 1, with odd extensions. Only the proof of possession counts.
#[derive(Debug)]
struct HoldsItsKey {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for HoldsItsKey {
    fn client_auth_mandatory(&self) -> bool {
        // A client without one is told so in XML, which it understands; a TLS alert looks like a broken host.
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        PublicKey::of(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        use SignatureScheme as S;
        // RFC 8446 §4.2.3: neither SHA-1 nor PKCS#1 v1.5 in a handshake.
        if matches!(
            signed.scheme,
            S::RSA_PKCS1_SHA1 | S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512
        ) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.verify(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl HoldsItsKey {
    /// rustls' own check reads the certificate with webpki, which refuses version 1; only its public key is needed.
    fn verify(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = PublicKey::of(certificate)?;
        let holds = self
            .algorithms
            .mapping
            .iter()
            .filter(|(scheme, _)| *scheme == signed.scheme)
            .flat_map(|(_, algorithms)| *algorithms)
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm)
            .any(|algorithm| algorithm.verify_signature(&key.bits, message, signed.signature()).is_ok());
        if holds {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

/// The public key in a certificate.
struct PublicKey {
    /// Content of the `AlgorithmIdentifier`, without its own tag and length.
    algorithm: Vec<u8>,
    bits: Vec<u8>,
}

impl PublicKey {
    fn of(certificate: &CertificateDer<'_>) -> Result<Self, Error> {
        Self::parse(certificate).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
    }

    fn parse(certificate: &[u8]) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        let key = parsed.public_key();
        let (_, sequence) = Any::from_der(key.raw).ok()?;
        let (_, algorithm) = Any::from_der(sequence.data).ok()?;
        let bits = key.subject_public_key.data.to_vec();
        rest.is_empty().then(|| Self { algorithm: algorithm.data.to_vec(), bits })
    }
}
