//! Surveys of whole files and of pieces, against the definitions.

use content::{Block, Digest, Mark, Sketch, Stored, Survey, Surveyed};
use proptest::prelude::*;
use telecom::{FileFault, RecordType};

const HEADER: &str = "msisdn,tower_id,call_type,dest_nr,call_duration_sec,start_time";

fn push_all(mut survey: Survey, stored: &[u8], pieces: &[usize]) -> Surveyed {
    let mut rest = stored;
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        survey.push(now);
        rest = later;
    }
    survey.finish()
}

fn survey(stored: &[u8]) -> Surveyed {
    push_all(Survey::new(RecordType::Voice), stored, &[stored.len().max(1)])
}

/// The content of a text, as it is defined.
fn content(text: &[u8]) -> Vec<u8> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.iter().flat_map(|line| [line.strip_suffix(b"\r").unwrap_or(line), b"\n"].concat()).collect()
}

fn rows(text: &[u8]) -> Vec<Vec<u8>> {
    let content = content(text);
    let lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.skip(1).map(<[u8]>::to_vec).collect()
}

/// The rest of a text with a good header.
fn rest() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(vec!["a", "a", "\n", "\n", "\r\n", "\r", "bb,c"]);
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let mark = proptest::sample::select(vec!["", "\u{feff}"]);
    let end = proptest::sample::select(vec!["\n", "\r\n"]);
    (mark, end, rest()).prop_map(|(mark, end, rest)| [format!("{mark}{HEADER}{end}").into_bytes(), rest].concat())
}

proptest! {
    #[test]
    fn a_survey_is_what_is_defined(text in text(), pieces in proptest::collection::vec(1_usize..9, 1..4)) {
        let found = push_all(Survey::new(RecordType::Voice), &text, &pieces);
        let content = content(&text);
        prop_assert_eq!(found.digest, Digest::of(&content));
        prop_assert_eq!(found.sha256, Digest::of(&text));
        prop_assert_eq!(found.bytes, text.len() as u64);
        let rows = rows(&text);
        prop_assert_eq!(found.mark.rows, rows.len() as u64);
        let mut sketch = Sketch::default();
        rows.iter().for_each(|row| sketch.add(row));
        prop_assert_eq!(&found.sketch, &sketch);
        prop_assert_eq!(found.head.is_some(), !rows.is_empty());
        prop_assert_eq!(found.mark.is_line_open, !text.ends_with(b"\n"));
        prop_assert!(found.is_appendable && found.fault.is_none());
        prop_assert_eq!((found.first_block, found.last_block), (Block::of(&text), Block::of(&text)));

        // The same content, stored otherwise. (Where a line ends with two CRs, one of them is part of the line.)
        let plain = if content.contains(&b'\r') { text.clone() } else { content };
        for stored in [plain, zstd::encode_all(&text[..], 1).unwrap()] {
            let other = survey(&stored);
            prop_assert_eq!((other.digest, other.mark.rows, other.head), (found.digest, found.mark.rows, found.head));
            prop_assert_eq!(other.sha256, Digest::of(&stored));
        }
    }

    /// Where a file may be cut: behind a line, or where the line's end alone is missing.
    #[test]
    fn a_file_in_pieces_is_the_file(text in text(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..5)) {
        let may_be_cut = |at: &usize| {
            let (before, behind) = text.split_at(*at);
            let is_open = !before.ends_with(b"\n");
            // A CR that ends what was there may be half a line end only.
            let ends_line = behind.starts_with(b"\n") || behind.starts_with(b"\r\n") && !before.ends_with(b"\r");
            *at > HEADER.len() + 5 && !before.is_empty() && (!is_open || ends_line)
        };
        let places: Vec<usize> = (0..text.len()).filter(may_be_cut).collect();
        let mut cuts: Vec<usize> = cuts.iter().filter(|_| !places.is_empty()).map(|cut| *cut.get(&places[..])).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut mark: Option<Mark> = None;
        let (mut sketch, mut head, mut last) = (Sketch::default(), None, None);
        for cut in cuts.windows(2) {
            let piece = &text[cut[0]..cut[1]];
            let survey = match &mark {
                None => Survey::new(RecordType::Voice),
                Some(mark) => {
                    let kept = serde_json::to_string(mark).unwrap();
                    Survey::continuing(RecordType::Voice, &serde_json::from_str(&kept).unwrap()).unwrap()
                }
            };
            let found = push_all(survey, piece, &[2, 3]);
            prop_assert_eq!(found.sha256, Digest::of(piece));
            prop_assert!(found.is_appendable && found.fault.is_none());
            sketch.merge(&found.sketch);
            head = head.or(found.head);
            mark = Some(found.mark.clone());
            last = Some(found);
        }
        let (last, whole) = (last.unwrap(), survey(&text));
        prop_assert_eq!(
            (last.digest, last.mark, head, sketch),
            (whole.digest, whole.mark, whole.head, whole.sketch),
            "{:?} cut at {:?}", text.escape_ascii().to_string(), cuts
        );
    }
}

#[test]
fn files_that_no_row_can_be_read_of() {
    let code = |found: &Surveyed| found.fault.as_ref().map(FileFault::code);
    let row = "27821234567,7,voice,27829876543,125,2024-01-01 10:15:30";
    for (stored, rows, appendable) in [
        (Vec::new(), 0, false),
        (b"\n\r\n".to_vec(), 0, false),
        (b"sep=,\n".to_vec(), 0, false),
        (b"x".to_vec(), 1, true),
        (format!("{row}\n{row}\n").into_bytes(), 2, true),
        (format!("msisdn,{HEADER}\n{row}\n").into_bytes(), 1, true),
        (format!("{HEADER}\r{row}\r{row}").into_bytes(), 2, false),
        (format!("\u{feff}{HEADER}\n{row}\n").encode_utf16().flat_map(u16::to_le_bytes).collect(), 1, false),
        (format!("\u{feff}{row}\r{row}").encode_utf16().flat_map(u16::to_be_bytes).collect(), 2, false),
    ] {
        let found = survey(&stored);
        assert_eq!(code(&found), Some("bad_header"), "{stored:?}");
        assert_eq!((found.mark.rows, found.is_appendable, found.head), (rows, appendable, None), "{stored:?}");
        assert_eq!(found.stored, Stored::Plain);
    }
    let zst = zstd::encode_all(format!("{HEADER}\n{row}\n").as_bytes(), 1).unwrap();
    let cut = survey(&zst[..zst.len() - 1]);
    assert_eq!((code(&cut), cut.stored, cut.head), (Some("damaged_file"), Stored::Zstd, None));
}

#[test]
fn what_follows_a_bad_header_has_no_head() {
    let bad = survey(b"tower_id\n");
    let piece = push_all(Survey::continuing(RecordType::Voice, &bad.mark).unwrap(), b"a\nb\n", &[3]);
    assert_eq!((piece.head, piece.mark.rows, piece.is_appendable), (None, 2, true));
}

#[test]
fn a_header_alone_has_its_head_when_the_first_row_comes() {
    let header = survey(format!("{HEADER}\n").as_bytes());
    assert!(header.head.is_none() && header.is_appendable && header.mark.header.is_some());
    let piece = push_all(Survey::continuing(RecordType::Voice, &header.mark).unwrap(), b"a\nb\n", &[1]);
    let whole = survey(format!("{HEADER}\r\na\nb").as_bytes());
    assert_eq!((piece.head, piece.digest), (whole.head, whole.digest));
    assert!(piece.head.is_some() && piece.mark.header.is_none());
    assert_ne!(whole.head, survey(format!("{HEADER}\nb\na").as_bytes()).head);
}
