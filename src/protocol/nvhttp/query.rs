//! What a client asks: the parameters of each request, checked.

use crate::protocol::pairing::{Certificate, Step};
use crate::protocol::params::SessionKey;
use std::collections::HashMap;

/// The decoded parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub HashMap<String, String>);

/// A parameter that is missing or makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parameter {0} is missing or wrong")]
pub struct BadParameter(pub &'static str);

/// `/pair`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairRequest {
    /// The client shows a PIN and wants the host's certificate.
    GetServerCertificate {
        salt: [u8; 16],
        certificate: Certificate,
    },
    Step(Step),
    /// Asks over HTTPS whether it is paired now.
    Challenge,
}

/// `/launch` and `/resume`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchQuery {
    /// 0 if not named.
    pub app: u32,
    /// Width and height in pixels, frames per second.
    pub mode: Option<(u32, u32, u32)>,
    pub key: SessionKey,
    pub key_id: u32,
    pub rtsp_encrypted: bool,
    pub surround: u32,
    pub local_audio: bool,
}

/// Two channels, front left and right: `mask << 16 | channels`.
const STEREO: u32 = 0x3_0002;

impl Query {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn hex<const N: usize>(&self, name: &'static str) -> Result<[u8; N], BadParameter> {
        self.hex_vec(name)?.try_into().map_err(|_| BadParameter(name))
    }

    fn hex_vec(&self, name: &'static str) -> Result<Vec<u8>, BadParameter> {
        self.get(name).and_then(|text| hex::decode(text).ok()).ok_or(BadParameter(name))
    }

    fn number<T: std::str::FromStr>(&self, name: &'static str, default: T) -> Result<T, BadParameter> {
        self.get(name).map_or(Ok(default), |text| text.parse().map_err(|_| BadParameter(name)))
    }

    pub fn pair(&self) -> Result<PairRequest, BadParameter> {
        match self.get("phrase") {
            Some("getservercert") => {
                let certificate = Certificate::from_pem(&self.hex_vec("clientcert")?);
                Ok(PairRequest::GetServerCertificate {
                    salt: self.hex("salt")?,
                    certificate: certificate.map_err(|_| BadParameter("clientcert"))?,
                })
            }
            Some("pairchallenge") => Ok(PairRequest::Challenge),
            Some(_) => Err(BadParameter("phrase")),
            None => self.pair_step().map(PairRequest::Step),
        }
    }

    fn pair_step(&self) -> Result<Step, BadParameter> {
        if self.get("clientchallenge").is_some() {
            return Ok(Step::ClientChallenge(self.hex("clientchallenge")?));
        }
        if self.get("serverchallengeresp").is_some() {
            return Ok(Step::ServerChallengeResponse(self.hex("serverchallengeresp")?));
        }
        let message = self.hex_vec("clientpairingsecret")?;
        let (secret, signature) = message.split_first_chunk().ok_or(BadParameter("clientpairingsecret"))?;
        Ok(Step::ClientPairingSecret { secret: *secret, signature: signature.to_vec() })
    }

    pub fn launch(&self) -> Result<LaunchQuery, BadParameter> {
        let key_id: i64 = self.number("rikeyid", 0)?;
        Ok(LaunchQuery {
            app: self.number("appid", 0)?,
            mode: self.get("mode").map(|text| mode(text).ok_or(BadParameter("mode"))).transpose()?,
            key: SessionKey(self.hex("rikey")?),
            // Signed on the wire, unsigned in the nonces that are made of it.
            key_id: key_id as u32,
            rtsp_encrypted: self.number("corever", 0)? >= 1,
            surround: self.number("surroundAudioInfo", STEREO)?,
            local_audio: self.number("localAudioPlayMode", 0)? == 1,
        })
    }
}

/// `1280x720x60`.
fn mode(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.split('x').map(|number| number.parse().ok().filter(|n| *n > 0));
    let mode = (numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pairing::fake_client::FakeClient;
    use proptest::prelude::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    const KEY: (&str, &str) = ("rikey", "000102030405060708090A0b0c0d0e0f");

    #[test]
    fn launch_as_moonlight_qt_sends_it() {
        let launch = query(&[
            ("appid", "1"),
            ("mode", "1920x1080x60"),
            ("additionalStates", "1"),
            ("sops", "0"),
            KEY,
            ("rikeyid", "-2"),
            ("localAudioPlayMode", "1"),
            ("surroundAudioInfo", "4128774"),
            ("corever", "1"),
        ]);
        let expected = LaunchQuery {
            app: 1,
            mode: Some((1920, 1080, 60)),
            key: SessionKey([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
            key_id: u32::MAX - 1,
            rtsp_encrypted: true,
            surround: 4128774,
            local_audio: true,
        };
        assert_eq!(launch.launch(), Ok(expected));
    }

    #[test]
    fn resume_may_leave_almost_everything_out() {
        let resume = query(&[KEY]).launch().unwrap();
        assert_eq!((resume.app, resume.mode, resume.key_id), (0, None, 0));
        assert_eq!((resume.rtsp_encrypted, resume.surround, resume.local_audio), (false, STEREO, false));
    }

    #[test]
    fn each_wrong_parameter_is_named() {
        for (name, value) in [
            ("rikey", "00"),
            ("rikey", "000102030405060708090a0b0c0d0e0g"),
            ("rikeyid", "x"),
            ("appid", "-1"),
            ("mode", "1280x720"),
            ("mode", "1280x720x60x1"),
            ("mode", "1280x0x60"),
            ("mode", "-1x-1x-1"),
            ("surroundAudioInfo", "99999999999"),
            ("corever", ""),
        ] {
            let query = query(&[KEY, (name, value)]);
            assert_eq!(query.launch().map_err(|e| e.0), Err(name), "{value}");
        }
        assert_eq!(Query::default().launch(), Err(BadParameter("rikey")));
    }

    #[test]
    fn pairing_requests() {
        let client = FakeClient::generate();
        let pem = hex::encode(&client.certificate_pem);
        let salt = hex::encode(client.salt);
        let begin = query(&[("phrase", "getservercert"), ("salt", &salt), ("clientcert", &pem)]);
        let certificate = client.certificate.clone();
        assert_eq!(begin.pair(), Ok(PairRequest::GetServerCertificate { salt: client.salt, certificate }));
        assert_eq!(query(&[("phrase", "pairchallenge")]).pair(), Ok(PairRequest::Challenge));
        let challenge = query(&[("clientchallenge", &"ab".repeat(16))]);
        assert_eq!(challenge.pair(), Ok(PairRequest::Step(Step::ClientChallenge([0xab; 16]))));
        let response = query(&[("serverchallengeresp", &"cd".repeat(32))]);
        assert_eq!(response.pair(), Ok(PairRequest::Step(Step::ServerChallengeResponse([0xcd; 32]))));
        let secret = query(&[("clientpairingsecret", &"ef".repeat(17))]);
        let step = Step::ClientPairingSecret { secret: [0xef; 16], signature: vec![0xef] };
        assert_eq!(secret.pair(), Ok(PairRequest::Step(step)));
    }

    #[test]
    fn pairing_requests_of_wrong_length() {
        for (name, bytes) in [
            ("clientchallenge", 15),
            ("clientchallenge", 32),
            ("serverchallengeresp", 20),
            ("serverchallengeresp", 0),
            ("clientpairingsecret", 15),
        ] {
            let query = query(&[(name, &"00".repeat(bytes))]);
            assert_eq!(query.pair().map_err(|e| e.0), Err(name), "{bytes} bytes");
        }
        assert!(query(&[("phrase", "getservercert"), ("salt", "00"), ("clientcert", "00")]).pair().is_err());
        assert!(query(&[("phrase", "letmein")]).pair().is_err());
        assert!(Query::default().pair().is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(pairs in proptest::collection::hash_map(
            prop::sample::select(vec!["phrase", "salt", "clientcert", "clientchallenge", "serverchallengeresp",
                "clientpairingsecret", "rikey", "rikeyid", "appid", "mode", "corever", "surroundAudioInfo"]),
            "getservercert|[0-9a-fx-]{0,80}|\\PC{0,20}", 0..12)) {
            let query = Query(pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect());
            let _ = (query.pair(), query.launch());
        }
    }
}
