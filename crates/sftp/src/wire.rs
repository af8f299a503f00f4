//! Version 3 of the file protocol (draft-ietf-secsh-filexfer-02) as bytes, as far as a client needs it.
//!
//! It takes whatever servers send: every number of a status, handles and names that are no UTF-8, attributes of
//! extensions, a status without a text. The library that the server here is built on ends the session at each of these.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut, TryGetError};

/// The version that every server speaks.
const VERSION: u32 = 3;
/// The longest answer that is taken. Some servers list a folder in one: this is about 100,000 names, and leaves most of
/// the memory of a small function to the files themselves.
pub(crate) const LONGEST_ANSWER_BYTES: usize = 16 << 20;
/// The longest first answer: a version and some names of extensions. The first letters of a text are more, as a length.
const LONGEST_GREETING_BYTES: usize = 64 << 10;
/// A long answer's length, kind, id and number of names.
const HEAD_BYTES: usize = 3 * size_of::<u32>() + size_of::<u8>();
/// A request's type, apart from its paths, handle and data.
const REQUEST_BYTES: usize = 64;

const FXP_INIT: u8 = 1;
const FXP_VERSION: u8 = 2;
const FXP_OPEN: u8 = 3;
const FXP_CLOSE: u8 = 4;
const FXP_READ: u8 = 5;
const FXP_WRITE: u8 = 6;
const FXP_FSTAT: u8 = 8;
const FXP_OPENDIR: u8 = 11;
const FXP_READDIR: u8 = 12;
const FXP_REMOVE: u8 = 13;
const FXP_STAT: u8 = 17;
const FXP_RENAME: u8 = 18;
const FXP_STATUS: u8 = 101;
const FXP_HANDLE: u8 = 102;
const FXP_DATA: u8 = 103;
const FXP_NAME: u8 = 104;
const FXP_ATTRS: u8 = 105;
const FXP_EXTENDED: u8 = 200;
const FXP_EXTENDED_REPLY: u8 = 201;

const ATTR_SIZE: u32 = 1;
const ATTR_UIDGID: u32 = 2;
const ATTR_PERMISSIONS: u32 = 4;
const ATTR_ACMODTIME: u32 = 8;
const ATTR_EXTENDED: u32 = 0x8000_0000;

/// How a file is opened: `SSH_FXF_READ`, or `WRITE`, `CREAT` and `TRUNC`.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Mode {
    Read = 0x01,
    Replace = 0x02 | 0x08 | 0x10,
}

/// A client's request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    Open {
        path: &'a str,
        mode: Mode,
    },
    OpenFolder {
        path: &'a str,
    },
    ReadFolder {
        handle: &'a [u8],
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        len: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        data: &'a [u8],
    },
    /// The attributes of an open file or folder.
    StatOpen {
        handle: &'a [u8],
    },
    /// The attributes of what has the name, links followed.
    Stat {
        path: &'a str,
    },
    Remove {
        path: &'a str,
    },
    Rename {
        from: &'a str,
        to: &'a str,
    },
    /// An extension's, with two paths.
    Extended {
        name: &'a str,
        paths: &'a [&'a str],
    },
}

impl Request<'_> {
    /// The request as it is sent.
    pub(crate) fn packet(&self, id: u32) -> Bytes {
        let mut packet = Packet::new(self.kind(), Some(id));
        match *self {
            Request::Open { path, mode } => packet.text(path.as_bytes()).int(mode as u32).int(0),
            Request::OpenFolder { path } | Request::Stat { path } | Request::Remove { path } => {
                packet.text(path.as_bytes())
            }
            Request::ReadFolder { handle } | Request::Close { handle } | Request::StatOpen { handle } => {
                packet.text(handle)
            }
            Request::Read { handle, offset, len } => packet.text(handle).long(offset).int(len),
            Request::Write { handle, offset, data } => packet.text(handle).long(offset).text(data),
            Request::Rename { from, to } => packet.text(from.as_bytes()).text(to.as_bytes()),
            Request::Extended { name, paths } => {
                paths.iter().fold(packet.text(name.as_bytes()), |packet, path| packet.text(path.as_bytes()))
            }
        };
        packet.finish()
    }

    fn kind(&self) -> u8 {
        match self {
            Request::Open { .. } => FXP_OPEN,
            Request::OpenFolder { .. } => FXP_OPENDIR,
            Request::ReadFolder { .. } => FXP_READDIR,
            Request::Close { .. } => FXP_CLOSE,
            Request::Read { .. } => FXP_READ,
            Request::Write { .. } => FXP_WRITE,
            Request::StatOpen { .. } => FXP_FSTAT,
            Request::Stat { .. } => FXP_STAT,
            Request::Remove { .. } => FXP_REMOVE,
            Request::Rename { .. } => FXP_RENAME,
            Request::Extended { .. } => FXP_EXTENDED,
        }
    }
}

/// A client's first message.
pub(crate) fn init() -> Bytes {
    let mut packet = Packet::new(FXP_INIT, None);
    packet.int(VERSION);
    packet.finish()
}

/// A packet in the making: its length comes first, and is known last.
struct Packet(BytesMut);

impl Packet {
    fn new(kind: u8, id: Option<u32>) -> Self {
        let mut bytes = BytesMut::with_capacity(REQUEST_BYTES);
        bytes.put_u32(0);
        bytes.put_u8(kind);
        bytes.extend(id.into_iter().flat_map(u32::to_be_bytes));
        Self(bytes)
    }

    fn int(&mut self, value: u32) -> &mut Self {
        self.0.put_u32(value);
        self
    }

    fn long(&mut self, value: u64) -> &mut Self {
        self.0.put_u64(value);
        self
    }

    /// Bytes with their length before them. None here is near 4 GiB.
    fn text(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put_u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        self
    }

    fn finish(mut self) -> Bytes {
        let len = (self.0.len() - size_of::<u32>()) as u32;
        self.0[..size_of::<u32>()].copy_from_slice(&len.to_be_bytes());
        self.0.freeze()
    }
}

/// A server's answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Status(Status),
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Name>),
    Attributes(Attributes),
    Extended(Bytes),
    /// Longer than is taken; it has been passed over.
    TooLong(TooLong),
}

/// A status: done, no more, or a refusal.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) code: u32,
    pub(crate) text: String,
}

/// A name of a folder.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) name: Bytes,
    /// As `ls -l` shows it: its first letter is the type.
    pub(crate) long: Bytes,
    pub(crate) attributes: Attributes,
}

/// The attributes of a file that a server sends: all, some or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) size: Option<u64>,
    pub(crate) permissions: Option<u32>,
    pub(crate) mtime: Option<u32>,
}

/// An answer that is not taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TooLong {
    pub(crate) bytes: usize,
    /// How many names it has, where it is a folder's.
    pub(crate) names: u32,
}

/// Bytes that are none of the protocol's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl From<TryGetError> for Malformed {
    fn from(_: TryGetError) -> Self {
        Self
    }
}

/// A server's first message.
#[derive(Debug)]
pub(crate) struct Greeting {
    extensions: Vec<Bytes>,
}

impl Greeting {
    /// Whether the server has this extension.
    pub(crate) fn has(&self, extension: &str) -> bool {
        self.extensions.iter().any(|name| name == extension)
    }
}

/// Makes answers of the bytes that come. Each is copied once, into a piece of memory of its length.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// The next answer, as far as it is there: its length first.
    answer: BytesMut,
    /// What has come behind it.
    more: Bytes,
    /// So much of an answer that is not taken is still to come.
    skipped_bytes: usize,
}

impl Answers {
    /// Takes bytes as they come.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.more = if self.more.is_empty() { bytes } else { [&*self.more, &*bytes].concat().into() };
    }

    /// What has come and is not taken yet.
    pub(crate) fn rest(&self) -> Vec<u8> {
        [&*self.answer, &*self.more].concat()
    }

    /// The first answer, when it is there.
    pub(crate) fn greeting(&mut self) -> Result<Option<Greeting>, Malformed> {
        let Some(len) = self.len() else { return Ok(None) };
        if len > LONGEST_GREETING_BYTES {
            return Err(Malformed);
        }
        let Some(mut packet) = self.take(len) else { return Ok(None) };
        if packet.try_get_u8()? != FXP_VERSION {
            return Err(Malformed);
        }
        packet.try_get_u32()?;
        let mut extensions = Vec::new();
        while packet.has_remaining() {
            extensions.push(text(&mut packet)?);
            text(&mut packet)?;
        }
        Ok(Some(Greeting { extensions }))
    }

    /// The next answer that is there, and the request's id.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Answer)>, Malformed> {
        let skipped = self.skipped_bytes.min(self.more.len());
        self.skipped_bytes -= skipped;
        self.more.advance(skipped);
        let Some(len) = self.len() else { return Ok(None) };
        if len > LONGEST_ANSWER_BYTES {
            return self.skip(len);
        }
        let Some(mut packet) = self.take(len) else { return Ok(None) };
        let (kind, id) = (packet.try_get_u8()?, packet.try_get_u32()?);
        let answer = match kind {
            FXP_STATUS => Answer::Status(Status::parse(&mut packet)?),
            FXP_HANDLE => Answer::Handle(text(&mut packet)?),
            FXP_DATA => Answer::Data(text(&mut packet)?),
            FXP_NAME => Answer::Names(names(&mut packet)?),
            FXP_ATTRS => Answer::Attributes(Attributes::parse(&mut packet)?),
            FXP_EXTENDED_REPLY => Answer::Extended(packet),
            _ => return Err(Malformed),
        };
        Ok(Some((id, answer)))
    }

    /// Makes the answer so long, if so much has come.
    fn fill(&mut self, len: usize) -> bool {
        let missing = len.saturating_sub(self.answer.len());
        self.answer.reserve(missing);
        let here = self.more.split_to(missing.min(self.more.len()));
        self.answer.extend_from_slice(&here);
        here.len() == missing
    }

    /// The next answer's length, where it is known.
    fn len(&mut self) -> Option<usize> {
        self.fill(size_of::<u32>());
        self.answer.first_chunk().map(|len| u32::from_be_bytes(*len) as usize)
    }

    /// An answer of this length, without it.
    fn take(&mut self, len: usize) -> Option<Bytes> {
        if !self.fill(size_of::<u32>() + len) {
            return None;
        }
        let mut packet = std::mem::take(&mut self.answer).freeze();
        packet.advance(size_of::<u32>());
        Some(packet)
    }

    /// Passes over an answer whose beginning says what it is.
    fn skip(&mut self, len: usize) -> Result<Option<(u32, Answer)>, Malformed> {
        if !self.fill(HEAD_BYTES) {
            return Ok(None);
        }
        let mut head = std::mem::take(&mut self.answer).freeze();
        head.advance(size_of::<u32>());
        let (kind, id, names) = (head.get_u8(), head.get_u32(), head.get_u32());
        if kind != FXP_NAME {
            return Err(Malformed);
        }
        self.skipped_bytes = size_of::<u32>() + len - HEAD_BYTES;
        Ok(Some((id, Answer::TooLong(TooLong { bytes: len, names }))))
    }
}

impl Status {
    fn parse(packet: &mut Bytes) -> Result<Self, Malformed> {
        let code = packet.try_get_u32()?;
        // Old servers end here.
        let text = if packet.has_remaining() { text(packet)? } else { Bytes::new() };
        Ok(Self { code, text: String::from_utf8_lossy(&text).trim().to_owned() })
    }
}

impl Attributes {
    fn parse(packet: &mut Bytes) -> Result<Self, Malformed> {
        let flags = packet.try_get_u32()?;
        let has = |flag| flags & flag != 0;
        let mut attributes = Self::default();
        if has(ATTR_SIZE) {
            attributes.size = Some(packet.try_get_u64()?);
        }
        if has(ATTR_UIDGID) {
            packet.try_get_u64()?;
        }
        if has(ATTR_PERMISSIONS) {
            attributes.permissions = Some(packet.try_get_u32()?);
        }
        if has(ATTR_ACMODTIME) {
            packet.try_get_u32()?;
            attributes.mtime = Some(packet.try_get_u32()?);
        }
        if has(ATTR_EXTENDED) {
            for _ in 0..packet.try_get_u32()? {
                text(packet)?;
                text(packet)?;
            }
        }
        Ok(attributes)
    }
}

fn names(packet: &mut Bytes) -> Result<Vec<Name>, Malformed> {
    let mut names = Vec::new();
    for _ in 0..packet.try_get_u32()? {
        let (name, long) = (text(packet)?, text(packet)?);
        names.push(Name { name, long, attributes: Attributes::parse(packet)? });
    }
    Ok(names)
}

/// Bytes with their length before them.
fn text(packet: &mut Bytes) -> Result<Bytes, Malformed> {
    let len = packet.try_get_u32()? as usize;
    if len > packet.len() { Err(Malformed) } else { Ok(packet.split_to(len)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet of a server: its length before it.
    fn packet(kind: u8, id: u32, rest: &[&[u8]]) -> Vec<u8> {
        let body = [&[kind][..], &id.to_be_bytes(), &rest.concat()].concat();
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    fn text(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    #[test]
    fn answers_come_in_any_pieces() {
        let status = packet(FXP_STATUS, 7, &[&19_u32.to_be_bytes(), &text(b"Not a directory"), &text(b"en")]);
        let old = packet(FXP_STATUS, 8, &[&4_711_u32.to_be_bytes()]);
        let handle = packet(FXP_HANDLE, 9, &[&text(&[0xff, 0, 0x80])]);
        let bytes = [status, old, handle].concat();
        for piece in [1, 3, 10, bytes.len()] {
            let (mut answers, mut came) = (Answers::default(), Vec::new());
            for piece in bytes.chunks(piece) {
                answers.push(Bytes::copy_from_slice(piece));
                while let Some((id, answer)) = answers.next().unwrap() {
                    came.push((id, format!("{answer:?}")));
                }
            }
            let came: Vec<_> = came.iter().map(|(id, answer)| (*id, answer.as_str())).collect();
            assert_eq!(
                came,
                [
                    (7, r#"Status(Status { code: 19, text: "Not a directory" })"#),
                    (8, r#"Status(Status { code: 4711, text: "" })"#),
                    (9, r#"Handle(b"\xff\0\x80")"#)
                ]
            );
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_passed_over() {
        let name = [text(&[b'n'; 100]), text(&[b'l'; 100]), vec![0; 4]].concat();
        let names = LONGEST_ANSWER_BYTES / name.len() + 1;
        let folder = packet(FXP_NAME, 1, &[&(names as u32).to_be_bytes(), &name.repeat(names)]);
        let bytes = [folder, packet(FXP_STATUS, 2, &[&[0; 12]])].concat();
        let (mut answers, mut came, mut most) = (Answers::default(), Vec::new(), 0);
        for piece in bytes.chunks(32 << 10) {
            answers.push(Bytes::copy_from_slice(piece));
            most = most.max(answers.rest().len());
            came.extend(std::iter::from_fn(|| answers.next().unwrap()));
        }
        let [(1, Answer::TooLong(too_long)), (2, Answer::Status(status))] = came.as_slice() else { panic!("{came:?}") };
        assert_eq!((too_long.names as usize, status.code), (names, 0));
        assert!(most <= 64 << 10, "{most} bytes of it were held");
    }

    #[test]
    fn attributes_of_extensions_are_passed_over() {
        let extended = [&2_u32.to_be_bytes()[..], &text(b"a"), &text(b"b"), &text(b"c"), &text(b"")].concat();
        let flags = (ATTR_SIZE | ATTR_UIDGID | ATTR_PERMISSIONS | ATTR_ACMODTIME | ATTR_EXTENDED).to_be_bytes();
        let told = [&flags[..], &7_u64.to_be_bytes(), &[0; 8], &0o100_644_u32.to_be_bytes(), &[0, 0, 0, 1, 0, 0, 0, 2]];
        let attributes = [told.concat(), extended].concat();
        let name = [text(b"first"), text(b""), attributes.clone()].concat();
        let mut answers = Answers::default();
        answers.push(packet(FXP_NAME, 1, &[&2_u32.to_be_bytes(), &name, &name]).into());
        let Some((1, Answer::Names(names))) = answers.next().unwrap() else { panic!("no names") };
        let expected = Attributes { size: Some(7), permissions: Some(0o100_644), mtime: Some(2) };
        assert_eq!(names.iter().map(|name| name.attributes).collect::<Vec<_>>(), [expected; 2]);
    }

    #[test]
    fn what_is_none_of_the_protocol() {
        let next = |bytes: &[u8]| {
            let mut answers = Answers::default();
            answers.push(Bytes::copy_from_slice(bytes));
            answers.next().map(|answer| answer.is_some())
        };
        assert_eq!(next(b""), Ok(false));
        assert_eq!(next(b"\0\0\0\x05"), Ok(false));
        assert_eq!(next(b"\0\0\0\0"), Err(Malformed));
        assert_eq!(next(b"Welcome to cdr-host.\n"), Err(Malformed));
        assert_eq!(next(&packet(FXP_HANDLE, 1, &[&9_u32.to_be_bytes(), b"short"])), Err(Malformed));
        assert_eq!(next(&packet(FXP_NAME, 1, &[&u32::MAX.to_be_bytes()])), Err(Malformed));
        assert_eq!(next(&packet(42, 1, &[])), Err(Malformed));
        let mut answers = Answers::default();
        answers.push(Bytes::from_static(b"Welcome"));
        assert!(answers.greeting().is_err());
        assert_eq!(answers.rest(), b"Welcome");
    }
}
