use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256};
use telecom::SourceId;

/// The SHA-256 of a file's stored bytes or of its content; written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The file's identity in every record made from it: the digest's beginning.
    #[must_use]
    pub fn source_id(&self) -> SourceId {
        SourceId::from_sha256(&self.0)
    }

    /// The identity of the same content if it counts again, by the number of its generation: the first one, 0, is
    /// [`source_id`](Self::source_id).
    #[must_use]
    pub fn source_id_of(&self, generation: u32) -> SourceId {
        if generation == 0 {
            return self.source_id();
        }
        let mut hasher = Hasher::default();
        hasher.update(&self.0);
        hasher.update(&generation.to_be_bytes());
        hasher.finish().source_id()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A [`Digest`] in the making.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }

    /// All that is needed to continue later.
    #[must_use]
    pub fn state(&self) -> HashState {
        HashState(format!("{STATE_FORM}{}", URL_SAFE_NO_PAD.encode(self.0.serialize())))
    }
}

/// A [`Hasher`] as it is kept between two pieces of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HashState(String);

/// The form belongs to the library's version 0.11; another one would be written otherwise.
const STATE_FORM: &str = "sha2-0.11:";

impl HashState {
    /// The hasher, unless another version of the program has kept it in a form of its own: then what was hashed is to
    /// be read again.
    #[must_use]
    pub fn hasher(&self) -> Option<Hasher> {
        let state = URL_SAFE_NO_PAD.decode(self.0.strip_prefix(STATE_FORM)?).ok()?;
        let state = SerializedState::<Sha256>::try_from(&state[..]).ok()?;
        Sha256::deserialize(&state).ok().map(Hasher)
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SHA-256 as 64 hexadecimal digits")]
pub struct InvalidDigest;

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return Err(InvalidDigest);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(digest))
    }
}

fn nibble(digit: u8) -> Result<u8, InvalidDigest> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).ok_or(InvalidDigest)
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashing_goes_on_from_a_kept_state() {
        for len in [0, 1, 63, 64, 65, 1000] {
            let bytes: Vec<u8> = (0..len).map(|byte| byte as u8).collect();
            let (first, rest) = bytes.split_at(bytes.len() / 2);
            let mut hasher = Hasher::default();
            hasher.update(first);
            let kept = serde_json::to_string(&hasher.state()).unwrap();
            let mut hasher = serde_json::from_str::<HashState>(&kept).unwrap().hasher().unwrap();
            hasher.update(rest);
            assert_eq!(hasher.finish(), Digest::of(&bytes));
        }
        assert!(HashState("sha2-0.12:AAAA".to_owned()).hasher().is_none());
        assert!(HashState("sha2-0.11:AAAA".to_owned()).hasher().is_none());
    }

    #[test]
    fn each_generation_of_a_content_has_an_id_of_its_own() {
        let digest = Digest::of(b"x");
        let ids = [0, 1, 2].map(|generation| digest.source_id_of(generation));
        assert_eq!(ids[0], digest.source_id());
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    }

    #[test]
    fn a_digest_is_what_it_is_written_as() {
        let empty = Digest::of(b"");
        expect_test::expect!["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
            .assert_eq(&empty.to_string());
        assert_eq!(empty.to_string().parse(), Ok(empty));
        assert_eq!("e3b0".parse::<Digest>(), Err(InvalidDigest));
        assert_eq!("é".repeat(32).parse::<Digest>(), Err(InvalidDigest));
    }
}
