//! Pairing, the host's side: client and host prove to each other that they know the PIN that the client shows, and that
//! each holds the key of the certificate it sent.
//!
//! Four requests over plain HTTP, in this order, with key = SHA-256(salt ‖ PIN)[0..16] and AES-128-ECB without padding:
//!
//! | request | answer |
//! |---|---|
//! | salt, client certificate | host certificate, once the PIN is known |
//! | E(client challenge) | E(H(client challenge ‖ signature of the host certificate ‖ host secret) ‖ host challenge) |
//! | E(H(host challenge ‖ signature of the client certificate ‖ client secret)) | host secret ‖ its RSA signature |
//! | client secret ‖ its RSA signature | paired or not |
//!
//! Clients hash with SHA-256 because the host says major version 7.

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::{constant_time, digest, signature};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

const BLOCK: usize = 16;
const HASH: usize = 32;

/// What pairing needs of the host's identity.
pub trait HostKey {
    fn certificate_pem(&self) -> &str;
    /// Signature bits of the certificate.
    fn certificate_signature(&self) -> &[u8];
    /// RSA PKCS#1 v1.5 with SHA-256.
    fn sign(&self, message: &[u8]) -> Vec<u8>;
}

/// An RSA certificate, as far as pairing looks into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    signature: Vec<u8>,
    public_key: Vec<u8>,
}

impl Certificate {
    pub fn from_pem(pem: &[u8]) -> Result<Self, PairingError> {
        let der = CertificateDer::from_pem_slice(pem).map_err(|_| PairingError::BadCertificate)?;
        Self::from_der(der.to_vec())
    }

    pub fn from_der(der: Vec<u8>) -> Result<Self, PairingError> {
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| PairingError::BadCertificate)?;
        if !rest.is_empty() {
            return Err(PairingError::BadCertificate);
        }
        let signature = parsed.signature_value.data.to_vec();
        let public_key = parsed.public_key().subject_public_key.data.to_vec();
        Ok(Self { der, signature, public_key })
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The signature bits in the certificate.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// `RSAPublicKey` in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether `signature` over `message` (PKCS#1 v1.5, SHA-256) was made with the key of this certificate.
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(message, signature)
            .is_ok()
    }
}

/// The host's random numbers for one pairing.
pub struct Nonces {
    pub secret: [u8; BLOCK],
    pub challenge: [u8; BLOCK],
}

/// Requests 2 to 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    ClientChallenge([u8; BLOCK]),
    ServerChallengeResponse([u8; HASH]),
    ClientPairingSecret { secret: [u8; BLOCK], signature: Vec<u8> },
}

/// What the host answers to requests 2 to 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    ChallengeResponse(Vec<u8>),
    PairingSecret(Vec<u8>),
    /// The client knew the PIN; its certificate is to be trusted from now on.
    Paired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    #[error("not a certificate")]
    BadCertificate,
    #[error("pairing phases out of order")]
    OutOfOrder,
    #[error("the PIN is wrong")]
    WrongPin,
    #[error("the client does not hold the key of its certificate")]
    BadSignature,
}

/// One client on its way through the phases. An error ends it: every later step is out of order.
pub struct Pairing {
    client: Certificate,
    phase: Phase,
}

enum Phase {
    AwaitsChallenge { key: Key, nonces: Nonces },
    AwaitsResponse { key: Key, nonces: Nonces },
    AwaitsSecret { challenge: [u8; BLOCK], client_hash: [u8; HASH] },
    Over,
}

impl Pairing {
    /// The first request came and someone typed the PIN.
    pub fn new(client: Certificate, salt: [u8; BLOCK], pin: &str, nonces: Nonces) -> Self {
        let key = Key::new(salt, pin);
        Self { client, phase: Phase::AwaitsChallenge { key, nonces } }
    }

    pub fn client(&self) -> &Certificate {
        &self.client
    }

    pub fn handle_step(&mut self, step: Step, host: &dyn HostKey) -> Result<Answer, PairingError> {
        match (std::mem::replace(&mut self.phase, Phase::Over), step) {
            (Phase::AwaitsChallenge { key, nonces }, Step::ClientChallenge(sealed)) => {
                let proof = hash(&[&key.open(sealed), host.certificate_signature(), &nonces.secret]);
                let answer = key.seal([&proof[..], &nonces.challenge].concat());
                self.phase = Phase::AwaitsResponse { key, nonces };
                Ok(Answer::ChallengeResponse(answer))
            }
            (Phase::AwaitsResponse { key, nonces }, Step::ServerChallengeResponse(sealed)) => {
                let client_hash = key.open(sealed);
                self.phase = Phase::AwaitsSecret { challenge: nonces.challenge, client_hash };
                Ok(Answer::PairingSecret([&nonces.secret[..], &host.sign(&nonces.secret)].concat()))
            }
            (
                Phase::AwaitsSecret { challenge, client_hash },
                Step::ClientPairingSecret { secret, signature },
            ) => {
                let expected = hash(&[&challenge, self.client.signature(), &secret]);
                constant_time::verify_slices_are_equal(&expected, &client_hash)
                    .map_err(|_| PairingError::WrongPin)?;
                if !self.client.has_signed(&secret, &signature) {
                    return Err(PairingError::BadSignature);
                }
                Ok(Answer::Paired)
            }
            _ => Err(PairingError::OutOfOrder),
        }
    }
}

/// The AES key that only those who know the PIN can make.
struct Key([u8; BLOCK]);

impl Key {
    fn new(salt: [u8; BLOCK], pin: &str) -> Self {
        let hash = hash(&[&salt, pin.as_bytes()]);
        Self(*hash.first_chunk().expect("a hash is longer than a key"))
    }

    fn seal(&self, mut blocks: Vec<u8>) -> Vec<u8> {
        let key = EncryptingKey::ecb(self.unbound()).expect("AES-128 has ECB");
        key.encrypt(&mut blocks).expect("whole blocks");
        blocks
    }

    fn open<const N: usize>(&self, mut blocks: [u8; N]) -> [u8; N] {
        let key = DecryptingKey::ecb(self.unbound()).expect("AES-128 has ECB");
        key.decrypt(&mut blocks, DecryptionContext::None).expect("whole blocks");
        blocks
    }

    fn unbound(&self) -> UnboundCipherKey {
        UnboundCipherKey::new(&AES_128, &self.0).expect("16 bytes")
    }
}

fn hash(parts: &[&[u8]]) -> [u8; HASH] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The client's side, for tests: computes what a Moonlight client sends.
#[cfg(test)]
pub mod fake_client {
    use super::*;
    use aws_lc_rs::{rand, rsa};
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

    pub struct FakeClient {
        pub certificate_pem: String,
        pub certificate: Certificate,
        pub key_pkcs8: Vec<u8>,
        key: rsa::KeyPair,
        pub salt: [u8; BLOCK],
        challenge: [u8; BLOCK],
        secret: [u8; BLOCK],
    }

    impl FakeClient {
        pub fn generate() -> Self {
            let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "NVIDIA GameStream Client");
            let certificate_pem = params.self_signed(&key).unwrap().pem();
            Self {
                certificate: Certificate::from_pem(certificate_pem.as_bytes()).unwrap(),
                certificate_pem,
                key: rsa::KeyPair::from_pkcs8(&key.serialize_der()).unwrap(),
                key_pkcs8: key.serialize_der(),
                salt: random(),
                challenge: random(),
                secret: random(),
            }
        }

        pub fn client_challenge(&self, pin: &str) -> [u8; 16] {
            Key::new(self.salt, pin).seal(self.challenge.to_vec()).try_into().unwrap()
        }

        /// The third request, and whether the host's hash will be as expected once its secret is known.
        pub fn server_challenge_response(&self, pin: &str, answer: &[u8]) -> ([u8; 32], [u8; 32]) {
            let opened: [u8; 48] = Key::new(self.salt, pin).open(answer.try_into().unwrap());
            let (host_hash, host_challenge) = opened.split_at(32);
            let own = hash(&[host_challenge, self.certificate.signature(), &self.secret]);
            let sealed = Key::new(self.salt, pin).seal(own.to_vec());
            (sealed.try_into().unwrap(), host_hash.try_into().unwrap())
        }

        /// What a client checks before it sends its secret: first whether the host signed, then whether the PIN was right.
        pub fn judge(&self, host: &Certificate, host_hash: [u8; 32], pairing_secret: &[u8]) -> (bool, bool) {
            let (secret, signature) = pairing_secret.split_at(16);
            let pin_right = hash(&[&self.challenge, host.signature(), secret]) == host_hash;
            (host.has_signed(secret, signature), pin_right)
        }

        pub fn client_pairing_secret(&self) -> Vec<u8> {
            [&self.secret[..], &self.sign(&self.secret)].concat()
        }

        pub fn sign(&self, message: &[u8]) -> Vec<u8> {
            let mut signature = vec![0; self.key.public_modulus_len()];
            let random = rand::SystemRandom::new();
            self.key.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
            signature
        }
    }

    pub fn random<const N: usize>() -> [u8; N] {
        let mut bytes = [0; N];
        rand::fill(&mut bytes).unwrap();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::fake_client::{FakeClient, random};
    use super::*;

    /// Any RSA certificate will do for a host.
    struct Host(FakeClient);

    impl HostKey for Host {
        fn certificate_pem(&self) -> &str {
            &self.0.certificate_pem
        }
        fn certificate_signature(&self) -> &[u8] {
            self.0.certificate.signature()
        }
        fn sign(&self, message: &[u8]) -> Vec<u8> {
            self.0.sign(message)
        }
    }

    fn begin(client: &FakeClient, pin: &str) -> Pairing {
        let nonces = Nonces { secret: random(), challenge: random() };
        Pairing::new(client.certificate.clone(), client.salt, pin, nonces)
    }

    fn secret_step(message: &[u8]) -> Step {
        let (secret, signature) = message.split_at(16);
        Step::ClientPairingSecret { secret: secret.try_into().unwrap(), signature: signature.to_vec() }
    }

    /// Phases 2 and 3; returns what the client thinks of the host: (signed, PIN right).
    fn two_phases(pairing: &mut Pairing, client: &FakeClient, host: &Host, pin: &str) -> (bool, bool) {
        let step = Step::ClientChallenge(client.client_challenge(pin));
        let Ok(Answer::ChallengeResponse(answer)) = pairing.handle_step(step, host) else {
            panic!("phase 2")
        };
        let (response, host_hash) = client.server_challenge_response(pin, &answer);
        let step = Step::ServerChallengeResponse(response);
        let Ok(Answer::PairingSecret(secret)) = pairing.handle_step(step, host) else { panic!("phase 3") };
        client.judge(&host.0.certificate, host_hash, &secret)
    }

    #[test]
    fn the_right_pin_pairs() {
        let (client, host) = (FakeClient::generate(), Host(FakeClient::generate()));
        let mut pairing = begin(&client, "1234");
        assert_eq!(two_phases(&mut pairing, &client, &host, "1234"), (true, true));
        let last = secret_step(&client.client_pairing_secret());
        assert_eq!(pairing.handle_step(last.clone(), &host), Ok(Answer::Paired));
        assert_eq!(pairing.handle_step(last, &host), Err(PairingError::OutOfOrder), "once");
    }

    #[test]
    fn both_sides_notice_a_wrong_pin() {
        let (client, host) = (FakeClient::generate(), Host(FakeClient::generate()));
        let mut pairing = begin(&client, "1234");
        assert_eq!(two_phases(&mut pairing, &client, &host, "4321"), (true, false));
        let last = secret_step(&client.client_pairing_secret());
        assert_eq!(pairing.handle_step(last, &host), Err(PairingError::WrongPin));
    }

    #[test]
    fn a_borrowed_certificate_does_not_pair() {
        let (client, thief, host) =
            (FakeClient::generate(), FakeClient::generate(), Host(FakeClient::generate()));
        let mut pairing = begin(&client, "1234");
        two_phases(&mut pairing, &client, &host, "1234");
        let mut message = client.client_pairing_secret();
        message[16..].copy_from_slice(&thief.sign(&client.client_pairing_secret()[..16]));
        assert_eq!(pairing.handle_step(secret_step(&message), &host), Err(PairingError::BadSignature));
    }

    #[test]
    fn every_other_order_is_refused_and_ends_the_pairing() {
        let (client, host) = (FakeClient::generate(), Host(FakeClient::generate()));
        let steps = [
            Step::ClientChallenge(client.client_challenge("1234")),
            Step::ServerChallengeResponse([0; 32]),
            secret_step(&client.client_pairing_secret()),
        ];
        for done in 0..3 {
            for wrong in (0..3).filter(|step| *step != done) {
                let mut pairing = begin(&client, "1234");
                for step in &steps[..done] {
                    pairing.handle_step(step.clone(), &host).unwrap();
                }
                for step in [&steps[wrong], &steps[done]] {
                    assert_eq!(pairing.handle_step(step.clone(), &host), Err(PairingError::OutOfOrder));
                }
            }
        }
    }

    #[test]
    fn certificates_that_are_none() {
        let good = FakeClient::generate();
        let mut trailing = good.certificate.der().to_vec();
        trailing.push(0);
        assert_eq!(Certificate::from_der(trailing), Err(PairingError::BadCertificate));
        assert_eq!(Certificate::from_der(vec![]), Err(PairingError::BadCertificate));
        assert_eq!(Certificate::from_pem(b"\xff\x00"), Err(PairingError::BadCertificate));
        assert_eq!(Certificate::from_pem(good.certificate.der()), Err(PairingError::BadCertificate));
    }
}
