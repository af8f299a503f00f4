use std::fs;
use std::sync::Arc;
use std::time::Duration;

use expect_test::expect;
use futures::future;
use lake::registers::UnmatchedNote;
use lake::{Announcement, Digest, names};
use lambda_boot::{Deadline, Invocation, Vars};
use sftp::Credentials;
use sftp_poll::{Event, Report, boot, handle};
use stream::Topic;
use telecom::FileName;

use crate::{Fixture, HOUR};

#[tokio::test]
async fn files_land_once_and_are_announced_in_chronological_order() {
    for fixture in Fixture::on_each().await {
        fixture.deliver("cdr_voice_20240101_000000.csv", b"voice", HOUR);
        fixture.deliver("cdr_data_20240102_000000.csv.gz", b"second", HOUR);
        fixture.deliver("cdr_data_20240101_000000.csv", b"first", HOUR);
        // Not ready, not finished, not ours.
        fixture.deliver("cdr_data_20240103_000000.csv", b"fresh", Duration::ZERO);
        fixture.deliver("cdr_data_20240104_000000.csv.tmp", b"half", HOUR);
        fixture.deliver(".cdr_data_20240104_000000.csv.part", b"half", HOUR);
        fixture.deliver("notes.txt", b"?", HOUR);
        fs::create_dir(fixture.path("cdr_data_20240105_000000.csv")).unwrap();

        let deps = fixture.deps().await;
        let report = handle(&deps, Event::Poll, Deadline::NONE).await.unwrap();
        let expected = Report { landed: 3, announced: 3, settling: 1, unmatched: 1, ..Report::default() };
        assert_eq!(report, expected);
        let announcement = |name, content: &[u8]| {
            let name = FileName::parse(name).unwrap();
            Announcement::new(name, Digest::of(content), content.len() as u64)
        };
        let expected = [
            announcement("cdr_data_20240101_000000.csv", b"first"),
            announcement("cdr_voice_20240101_000000.csv", b"voice"),
            announcement("cdr_data_20240102_000000.csv.gz", b"second"),
        ];
        // The id is that of the content, in which the last line has its line end.
        let expected = expected.map(|announcement| (announcement.key, announcement.sha256, announcement.bytes));
        let announced = fixture.announcements().await.into_iter().map(|found| (found.key, found.sha256, found.bytes));
        assert!(announced.eq(expected));
        let objects = fixture.objects().await;
        let names: Vec<_> = objects.keys().map(String::as_str).collect();
        expect![[r#"
            [
                "files/cdr_data_20240101_000000.csv.json",
                "files/cdr_data_20240102_000000.csv.gz.json",
                "files/cdr_voice_20240101_000000.csv.json",
                "format.json",
                "landing/cdr_data_20240101_000000.csv",
                "landing/cdr_data_20240102_000000.csv.gz",
                "landing/cdr_voice_20240101_000000.csv",
                "unmatched.json",
            ]"#]]
        .assert_eq(&format!("{names:#?}"));
        assert_eq!(objects["landing/cdr_data_20240101_000000.csv"], "first");

        // Once more, in the same process and in a new one.
        for deps in [&deps, &fixture.deps().await] {
            let report = handle(deps, Event::Poll, Deadline::NONE).await.unwrap();
            assert_eq!(report, Report { settling: 1, unmatched: 1, ..Report::default() });
        }
        assert_eq!(fixture.objects().await, objects);
        assert_eq!(fixture.announced().await.len(), 3);
    }
}

#[tokio::test]
async fn what_nobody_takes_is_noted_as_long_as_it_lies_there() {
    let fixture = Fixture::start().await;
    let noted = async || {
        let note: Option<UnmatchedNote> = fixture.lake.get_json(names::UNMATCHED).await.unwrap();
        note.map(|note| (note.files, note.names))
    };
    let of = |names: &[&str]| Some((names.len() as u64, names.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let deps = fixture.deps().await;
    let poll = async |deps| handle(deps, Event::Poll, Deadline::NONE).await.unwrap();
    poll(&deps).await;
    assert_eq!(noted().await, None);
    fixture.deliver("notes.txt", b"?", HOUR);
    poll(&deps).await;
    assert_eq!(noted().await, of(&["notes.txt"]));
    // It is not written again, by this process or another.
    let long_ago = UnmatchedNote { files: 1, names: vec!["notes.txt".to_owned()], noted_at: 5 };
    fixture.lake.put_json(names::UNMATCHED, &long_ago).await.unwrap();
    let another = fixture.deps().await;
    for deps in [&deps, &another] {
        poll(deps).await;
        let note: Option<UnmatchedNote> = fixture.lake.get_json(names::UNMATCHED).await.unwrap();
        assert_eq!(note.unwrap(), long_ago);
    }
    fixture.deliver("cdr_data_20240132_000000.csv", b"?", HOUR);
    poll(&deps).await;
    assert_eq!(noted().await, of(&["cdr_data_20240132_000000.csv", "notes.txt"]));
    fs::remove_file(fixture.path("notes.txt")).unwrap();
    fs::remove_file(fixture.path("cdr_data_20240132_000000.csv")).unwrap();
    poll(&fixture.deps().await).await;
    assert_eq!(noted().await, None);
}

#[tokio::test]
async fn a_fresh_file_is_taken_when_nobody_has_written_to_it_for_long_enough() {
    let mut fixture = Fixture::start().await;
    let name = "cdr_data_20240101_000000.csv";
    fixture.deliver(name, b"x\n", Duration::from_secs(30));
    assert_eq!(fixture.poll().await, Report { settling: 1, ..Report::default() });
    fixture.touch(name, Duration::from_secs(61));
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
    // Without a wait.
    fixture.config.servers[0].habits.settle_s = 0;
    fixture.deliver("cdr_data_20240101_000100.csv", b"y\n", Duration::ZERO);
    assert_eq!(fixture.poll().await, Report { landed: 1, announced: 1, ..Report::default() });
}

#[tokio::test]
async fn an_empty_file_and_a_large_one() {
    for fixture in Fixture::on_each().await {
        let large: Vec<u8> = (0..20_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fixture.deliver("cdr_data_20240101_000000.csv", b"", HOUR);
        fixture.deliver("cdr_data_20240101_000100.csv.zst", &large, HOUR);
        assert_eq!(fixture.poll().await, Report { landed: 2, announced: 2, ..Report::default() });
        let sizes: Vec<_> = fixture.announcements().await.iter().map(|a| (a.bytes, a.sha256)).collect();
        assert_eq!(sizes, [(0, Digest::of(b"")), (large.len() as u64, Digest::of(&large))]);
        assert_eq!(fixture.objects().await["landing/cdr_data_20240101_000100.csv.zst"], Digest::of(&large).to_string());
    }
}

#[tokio::test]
async fn many_files_and_two_polls_at_once() {
    let fixture = Fixture::start().await;
    let names: Vec<_> = (0..120).map(|i| format!("cdr_data_20240101_{:02}{:02}00.csv", i / 60, i % 60)).collect();
    for name in &names {
        fixture.deliver(name, name.as_bytes(), HOUR);
    }
    let (one, two) = (fixture.deps().await, fixture.deps().await);
    let polls = future::join(handle(&one, Event::Poll, Deadline::NONE), handle(&two, Event::Poll, Deadline::NONE));
    let (one, two) = polls.await;
    assert_eq!(one.unwrap().landed + two.unwrap().landed, 120);
    let objects = fixture.objects().await;
    // A register and the bytes of each, and nothing else but the lake's format.
    assert_eq!(objects.len(), 2 * 120 + 1);
    for name in &names {
        assert_eq!(&objects[&format!("landing/{name}")], name);
    }
    // Each is announced, by one of them or by both, always as the same.
    let announcements = fixture.announcements().await;
    for name in &names {
        let mut same = announcements.iter().filter(|announcement| announcement.name.as_str() == name);
        let first = same.next().unwrap();
        assert_eq!(first.sha256, Digest::of(name.as_bytes()));
        assert!(same.all(|other| other == first));
    }
}

#[tokio::test]
async fn copies_do_not_begin_when_the_time_is_nearly_up() {
    let fixture = Fixture::start().await;
    fixture.deliver("cdr_data_20240101_000000.csv", b"x", HOUR);
    let deadline = Deadline::after(Duration::from_secs(8));
    let report = handle(&fixture.deps().await, Event::Poll, deadline).await.unwrap();
    assert_eq!(report, Report { deferred: 1, ..Report::default() });
    assert!(fixture.objects().await.keys().eq([names::FORMAT]));
    let deadline = Deadline::after(Duration::from_secs(60));
    let report = handle(&fixture.deps().await, Event::Poll, deadline).await.unwrap();
    assert_eq!(report, Report { landed: 1, announced: 1, ..Report::default() });
}

#[tokio::test]
async fn the_function_as_the_service_calls_it() {
    for fixture in Fixture::on_each().await {
        fixture.deliver("cdr_data_20240101_120000.csv", b"x", HOUR);
        let sftp = &fixture.config.servers[0].sftp;
        let Credentials::Password(password) = &sftp.credentials else { unreachable!("as the fixture makes it") };
        let lake = &fixture.config.lake;
        let vars: Vars = [
            ("SFTP_HOST", sftp.host.as_str()),
            ("SFTP_PORT", &sftp.port.to_string()),
            ("SFTP_USER", &sftp.user),
            ("SFTP_PASSWORD", password),
            ("SFTP_HOST_KEY", &sftp.host_key.to_string()),
            ("SFTP_REMOTE_PATH", &sftp.remote_path.to_string()),
            ("LAKE_BUCKET", &lake.bucket),
            ("AWS_ENDPOINT_URL_S3", lake.endpoint.as_deref().unwrap()),
            ("AWS_REGION", &lake.region),
            ("AWS_ACCESS_KEY_ID", &lake.access_key_id),
            ("AWS_SECRET_ACCESS_KEY", &lake.secret_access_key),
            ("KAFKA_BROKERS", fixture.config.kafka.brokers()),
            ("LANDED_FILES_TOPIC", &fixture.config.settings.topics[Topic::LandedFiles]),
        ]
        .into_iter()
        .collect();
        let handler = boot(vars).await.unwrap();
        let invoke = async |payload: &'static str| {
            let invocation =
                Invocation { payload: payload.into(), deadline: Deadline::NONE, request_id: "request".to_owned() };
            String::from_utf8(Arc::clone(&handler)(invocation).await.unwrap().to_vec()).unwrap()
        };
        let schedule = include_str!("../../../../events/sftp-poll/schedule.json");
        let reprocess = include_str!("../../../../events/sftp-poll/reprocess.json");
        expect![[r#"{"landed":1,"recovered":0,"announced":1,"grown":0,"changed":0,"conflicts":0,"waiting_lines":0,"settling":0,"deferred":0,"unmatched":0,"cleared":0}"#]]
            .assert_eq(&invoke(schedule).await);
        expect![[r#"{"landed":0,"recovered":0,"announced":1,"grown":0,"changed":0,"conflicts":0,"waiting_lines":0,"settling":0,"deferred":0,"unmatched":0,"cleared":0}"#]]
            .assert_eq(&invoke(reprocess).await);
        let again = invoke(schedule).await;
        expect![[r#"{"landed":0,"recovered":0,"announced":0,"grown":0,"changed":0,"conflicts":0,"waiting_lines":0,"settling":0,"deferred":0,"unmatched":0,"cleared":0}"#]]
            .assert_eq(&again);
        assert_eq!(fixture.announced().await, ["cdr_data_20240101_120000.csv"; 2]);
    }
}
