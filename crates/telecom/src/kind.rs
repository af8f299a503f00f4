//! What is recorded and what is counted.

use std::fmt;
use std::str::FromStr;

use crate::column::Column;
use crate::serde_text::serde_as_text;

/// The two kinds of call detail record. Text form: `data`, `voice`, as in file names and `_record_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// A data session.
    Data,
    /// A voice or video call.
    Voice,
}

/// What usage is summed under. Text form: `data`, `call`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Bytes, up and down.
    Data,
    /// Seconds.
    Call,
}

/// One counted kind of usage: a category and its type. Text form: `data/video`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UsageKind {
    /// Video sessions.
    DataVideo,
    /// Audio sessions.
    DataAudio,
    /// Image sessions.
    DataImage,
    /// Text sessions.
    DataText,
    /// Application sessions.
    DataApplication,
    /// Voice calls.
    CallVoice,
    /// Video calls.
    CallVideo,
}

/// No record type, category or usage kind has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the name is none of: {expected}")]
pub struct UnknownName {
    expected: &'static str,
}

impl RecordType {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Data, Self::Voice];

    /// `data` or `voice`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Voice => "voice",
        }
    }

    /// The columns of its files, in the order in which they are written.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Data => &Column::DATA,
            Self::Voice => &Column::VOICE,
        }
    }

    /// What its records are summed under.
    pub const fn category(self) -> Category {
        match self {
            Self::Data => Category::Data,
            Self::Voice => Category::Call,
        }
    }
}

impl Category {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Data, Self::Call];

    /// `data` or `call`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Call => "call",
        }
    }

    /// Its kind with this type, e.g. `video`.
    pub fn kind(self, usage_type: &str) -> Option<UsageKind> {
        let kind = match (self, usage_type) {
            (Self::Data, "video") => UsageKind::DataVideo,
            (Self::Data, "audio") => UsageKind::DataAudio,
            (Self::Data, "image") => UsageKind::DataImage,
            (Self::Data, "text") => UsageKind::DataText,
            (Self::Data, "application") => UsageKind::DataApplication,
            (Self::Call, "voice") => UsageKind::CallVoice,
            (Self::Call, "video") => UsageKind::CallVideo,
            _ => return None,
        };
        Some(kind)
    }

    /// Its kind with this type as files write it: without regard to case.
    pub(crate) fn kind_as_written(self, usage_type: &str) -> Option<UsageKind> {
        let is_meant = |kind: &UsageKind| kind.category() == self && kind.usage_type().eq_ignore_ascii_case(usage_type);
        self.kind(usage_type).or_else(|| UsageKind::ALL.into_iter().find(is_meant))
    }
}

impl UsageKind {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::DataVideo,
        Self::DataAudio,
        Self::DataImage,
        Self::DataText,
        Self::DataApplication,
        Self::CallVoice,
        Self::CallVideo,
    ];

    /// The kind that a store's two columns name, e.g. `call` and `voice`.
    pub fn from_parts(category: &str, usage_type: &str) -> Option<Self> {
        category.parse::<Category>().ok()?.kind(usage_type)
    }

    /// What it is summed under.
    pub const fn category(self) -> Category {
        match self {
            Self::DataVideo | Self::DataAudio | Self::DataImage | Self::DataText | Self::DataApplication => {
                Category::Data
            }
            Self::CallVoice | Self::CallVideo => Category::Call,
        }
    }

    /// Its type within the category, as in the records: `video`, `audio`, `image`, `text`, `application`, `voice`.
    pub const fn usage_type(self) -> &'static str {
        match self {
            Self::DataVideo | Self::CallVideo => "video",
            Self::DataAudio => "audio",
            Self::DataImage => "image",
            Self::DataText => "text",
            Self::DataApplication => "application",
            Self::CallVoice => "voice",
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RecordType {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|record_type| record_type.as_str() == text);
        found.ok_or(UnknownName { expected: "data, voice" })
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Category {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|category| category.as_str() == text);
        found.ok_or(UnknownName { expected: "data, call" })
    }
}

impl fmt::Display for UsageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category(), self.usage_type())
    }
}

impl FromStr for UsageKind {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let parts = text.split_once('/');
        parts.and_then(|(category, usage_type)| Self::from_parts(category, usage_type)).ok_or(UnknownName {
            expected: "data/video, data/audio, data/image, data/text, data/application, call/voice, call/video",
        })
    }
}

serde_as_text!(RecordType, Category, UsageKind);
