//! The dashboard as the service sees it and as a browser shows it: raw events in, pages out, on a real database and Kafka.
#![expect(clippy::unwrap_used, reason = "a test ends where its setup fails")]

mod front;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use dashboard_http::Route;
use expect_test::{Expect, expect};
use lambda_boot::{Deadline, Handler, Invocation};
use postgres_pool::{Names, Pool};
use serde_json::{Value, json};
use tokio_postgres::Row;

use front::{Front, get, heads, links, table};

const WAREHOUSE: &str = include_str!("warehouse.sql");

/// Nobody listens there.
const DOWN: (&str, &str) = ("DATABASE_URL", "postgres://u:secret@127.0.0.1:1/d");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn event(name: &str) -> Value {
    let path = root().join("events/dashboard-http").join(name).with_extension("json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The users of the events, as cheaply hashed as argon2id allows.
fn users() -> String {
    let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    let hash = |password: &str| cheap.hash_password(password.as_bytes()).unwrap().to_string();
    json!([
        {"user": "example", "password_hash": hash("example-password"), "msisdns": "*"},
        {"user": "shop", "password_hash": hash("shop-password"), "msisdns": ["2782*"]},
    ])
    .to_string()
}

async fn boot_with(variables: &[(&str, &str)]) -> Handler {
    test_support::log();
    let users = users();
    let users = [("API_USERS", &*users)];
    dashboard_http::boot(users.iter().chain(variables).copied().collect()).await.unwrap()
}

async fn invoke(handler: &Handler, event: &Value) -> Value {
    let payload = Bytes::from(event.to_string());
    let invocation = Invocation { payload, deadline: Deadline::NONE, request_id: "test".into() };
    serde_json::from_slice(&handler(invocation).await.unwrap()).unwrap()
}

fn credentials(user: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{user}-password")))
}

fn pool(url: &str) -> Pool {
    Pool::new(url, Names { variable: "DATABASE_URL", service: "the warehouse" }).unwrap()
}

async fn warehouse() -> (String, Pool) {
    let url = test_support::postgres_database().await;
    let pool = pool(&url);
    pool.batch(WAREHOUSE).await.unwrap();
    (url, pool)
}

/// What SQL says, every value as text.
async fn sql(pool: &Pool, sql: &str) -> Vec<Vec<String>> {
    let cells =
        |row: &Row| (0..row.len()).map(|at| row.get::<_, Option<String>>(at).unwrap_or_else(|| "–".into())).collect();
    pool.query(sql, &[]).await.unwrap().iter().map(cells).collect()
}

/// A group that has committed one of seven messages, on a cluster of its own topics.
async fn behind(brokers: &str) -> String {
    let topic = test_support::topic("chat-messages");
    let config = kafka_sink::Config::plaintext(brokers);
    kafka_sink::admin::create_topics(&config, &[(&topic, 1)]).await.unwrap();
    let mut session = kafka_sink::Sink::new(&config).unwrap().session().unwrap();
    for _ in 0..7 {
        session.send(&topic, b"room", b"message").await.unwrap();
    }
    session.flush(None).await.unwrap();
    let group = format!("trunkline-lake-writer-{topic}");
    test_support::commit(config.client(), &group, &topic, &[Some(1)]).await;
    topic
}

/// A page of the test's own, which looks into the dashboard as a phone shows it: how wide it is, and how dark. It also holds
/// what the dashboard's policy must refuse.
const PROBE: &str = r#"<!doctype html><title>probe</title><iframe id="phone" src="/bare" width="360" height="800"></iframe><iframe src="/dashboard"></iframe>
<script>addEventListener('load', () => {
    const page = document.getElementById('phone').contentDocument;
    page.querySelectorAll('details').forEach(it => it.open = true);
    const {scrollWidth, clientWidth} = page.documentElement;
    document.body.dataset.wider = scrollWidth - clientWidth;
    document.body.dataset.width = page.defaultView.innerWidth;
    document.body.dataset.background = page.defaultView.getComputedStyle(page.body).backgroundColor;
})</script>"#;

/// The dashboard as a phone shows it, for a screenshot: a window of Chromium's is never as narrow.
const PHONE: &str =
    r#"<!doctype html><body style="margin:0"><iframe src="/bare" width="360" height="6000" style="border:0"></iframe>"#;

const DARK: &str = "--blink-settings=preferredColorScheme=0";

/// What a subscriber's or a day's usage costs, by the standard tariff.
const COST: &str = "sum(seconds) / 60.0 + sum(up_bytes + down_bytes) * 49 / 1000000000.0";

#[tokio::test]
async fn a_browser_shows_what_the_warehouse_has() {
    let (url, pool) = warehouse().await;
    let brokers = test_support::broker().await;
    let topic = behind(brokers).await;
    let handler = boot_with(&[("DATABASE_URL", &url), ("KAFKA_BROKERS", brokers)]).await;
    let front = Front::start(handler, [("/probe", PROBE.to_owned()), ("/phone", PHONE.to_owned())].into()).await;
    let at = |path: &str| format!("http://example:example-password@{}{path}", front.address);

    let shown = test_support::chromium(&["--dump-dom"], &at("/dashboard")).await;
    assert_eq!(shown.console, Vec::<String>::new());
    let dom = shown.dom;
    // A channel is called that.
    assert!(dom.contains("&lt;script&gt;") && !dom.contains("<script"));
    usage_is_that_of_sql(&dom, &pool).await;
    messages_are_those_of_sql(&dom, &pool).await;
    let behind: Vec<_> = table(&dom, "Mappings, records behind").into_iter().filter(|row| row[1] == topic).collect();
    assert_eq!(behind, [["lake-writer", &topic, "6", "none"]]);
    let loads = table(&dom, "Loads").into_iter().map(|row| row[1..].join(" · ")).collect::<Vec<_>>().join("\n");
    expect![[r#"
        succeeded · 9 s
        failed raw.messages: in <> out · 1 min
        succeeded · 1 min"#]]
    .assert_eq(&loads);
    let lines = |caption| table(&dom, caption).into_iter().map(|row| row.join(" · ")).collect::<Vec<_>>().join("\n");
    expect![[r#"
        silver · messages · 6,409 · 6,400 · 9 · 0 · 0 · even
        raw · cdr_data.data · 432,000 · 431,880 · 100 · 20 · 0 · even
        raw · cdr_data.voice · 432,000 · 431,970 · 0 · 0 · 30 · even
        raw · raw.messages · 6,410 · 6,399 · 8 · 1 · 0 · broken
        models ·  · 6,431 · 6,431 · 0 · 0 · 0 · even"#]]
    .assert_eq(&lines("Balances of the last 24 loads"));
    expect![[r#"
        bad_header · by the functions · 1,200
        bad_json · by the loader · 2
        unknown_type · by the functions · 2
        day_out_of_range · by the functions · 1"#]]
    .assert_eq(&lines("Rejected, by reason (newest 100,000 records)"));
    let topics = table(&dom, "Loaded, by topic").into_iter().map(|mut row| {
        row.remove(2);
        row.join(" · ")
    });
    expect![[r#"
        cdr-data · well · 2 h · 1 h
        cdr-voice · silent · 50 h · 49 h
        chat-messages · well · 72 h ahead · 1 h
        rejected · well · – · 48 h"#]]
    .assert_eq(&topics.collect::<Vec<_>>().join("\n"));
    expect![[r#"
        cdr_data_20240101_000000.csv · cdr_data_20240101_000000.csv · same name, other rows · 3 · 2 · 26 h
        cdr_voice_20240102_000000.csv · cdr_voice_20240101_000000.csv · shares most rows · 1,300 · 1,299 · 2 h"#]]
    .assert_eq(&lines("Files that wait for a decision"));
    expect![[r#"
        README · 26 h
        cdr_data_20240132_000000.csv · 2 h"#]]
    .assert_eq(&lines("Files that nobody takes"));
    assert!(dom.contains("3 in all, of which these are the first."));

    let probed = test_support::chromium(&["--dump-dom", DARK], &at("/probe")).await;
    let found = r#"data-wider="0" data-width="360" data-background="rgb(14, 18, 23)""#;
    assert!(probed.dom.contains(found), "{}", probed.dom);
    // The console is heard, and nobody's page can hold ours.
    assert!(probed.console.len() == 1 && probed.console[0].contains("frame-ancestors 'none'"), "{:?}", probed.console);

    // To be looked at.
    for (name, path, options) in [
        ("light", "/dashboard", ["--window-size=1280,2300", "--hide-scrollbars"].as_slice()),
        ("phone-dark", "/phone", &["--window-size=500,6000", "--hide-scrollbars", DARK]),
    ] {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{name}.png"));
        let file = format!("--screenshot={}", file.display());
        test_support::chromium(&[&[file.as_str()], options].concat(), &at(path)).await;
    }
}

async fn usage_is_that_of_sql(dom: &str, pool: &Pool) {
    let by_kind = |measure: &str, category: &str, types: &str| {
        let columns = types.split(' ').map(|kind| {
            format!("to_char(sum({measure}) FILTER (WHERE usage_type = '{kind}'), 'FM999,999,999,999,999')")
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        format!(
            "SELECT day::text, {columns} FROM analytics.usage_by_day WHERE category = '{category}' AND day >= '2023-12-31' \
             GROUP BY day ORDER BY day"
        )
    };
    let data = sql(pool, &by_kind("up_bytes + down_bytes", "data", "video audio image text application")).await;
    assert_eq!(data.len(), 14);
    assert_eq!(table(dom, "Data by day, bytes"), data);
    assert_eq!(table(dom, "Calls by day, seconds"), sql(pool, &by_kind("seconds", "call", "voice video")).await);
    let cost = format!(
        "SELECT day::text, 'R ' || to_char({COST}, 'FM999,999,999.00') FROM analytics.usage_by_day \
         WHERE day >= '2023-12-31' GROUP BY day ORDER BY day"
    );
    assert_eq!(table(dom, "Cost by day, rand"), sql(pool, &cost).await);
    for (caption, rank) in [("By cost", COST), ("By data", "sum(up_bytes + down_bytes)")] {
        let top = format!(
            "SELECT repeat('*', 8) || right(msisdn, 3), 'R ' || to_char({COST}, 'FM999,999,999.00'), \
                    to_char(sum(events), 'FM999,999,999') \
             FROM prepared_layers.daily_usage WHERE day >= '2023-12-31' GROUP BY msisdn ORDER BY {rank} DESC LIMIT 10"
        );
        let shown: Vec<_> =
            table(dom, caption).iter().map(|row| [0, 1, 4].map(|at| row[at].clone()).to_vec()).collect();
        assert_eq!(shown, sql(pool, &top).await, "{caption}");
    }
    assert!(!dom.contains("2782"), "a number is shown");
}

async fn messages_are_those_of_sql(dom: &str, pool: &Pool) {
    for (caption, heading) in
        [("Messages by day and channel, count", "channel"), ("Messages by day and sender, count", "sender_type")]
    {
        let by_heading = format!(
            "WITH headings AS (SELECT {heading}, least(7, row_number() OVER (ORDER BY sum(messages) DESC)) AS place \
                               FROM analytics.messages_by_day GROUP BY {heading}), \
                  sums AS (SELECT day, place, sum(messages)::text AS messages \
                           FROM analytics.messages_by_day JOIN headings USING ({heading}) GROUP BY day, place) \
             SELECT day::text || ' ' || string_agg(messages, ' ' ORDER BY place) FROM sums GROUP BY day ORDER BY day"
        );
        let shown: Vec<_> = table(dom, caption).iter().map(|row| vec![row.join(" ")]).collect();
        assert_eq!(shown, sql(pool, &by_heading).await, "{caption}");
    }
    let percentile = |part| format!("percentile_disc({part}) WITHIN GROUP (ORDER BY response_seconds)");
    // `4 min 14 s`, as all of these are between a second and an hour.
    let read = |seconds: String| {
        format!("concat_ws(' ', nullif({seconds} / 60, 0) || ' min', nullif({seconds} % 60, 0) || ' s')")
    };
    let by_day = format!(
        "SELECT day::text, ({})::text, ({})::text FROM analytics.response_times WHERE response_seconds IS NOT NULL GROUP BY day ORDER BY day",
        percentile(0.5),
        percentile(0.9)
    );
    assert_eq!(table(dom, "Wait for the first answer by day, seconds"), sql(pool, &by_day).await);
    let by_channel = format!(
        "SELECT channel, to_char(count(response_seconds), 'FM9,999'), {}, {} \
         FROM (SELECT channel, response_seconds FROM analytics.response_times UNION ALL \
               SELECT 'all channels', response_seconds FROM analytics.response_times) AS waits \
         GROUP BY channel ORDER BY count(response_seconds) DESC, channel",
        read(percentile(0.5)),
        read(percentile(0.9))
    );
    let shown: Vec<_> = table(dom, "Wait by channel").into_iter().collect();
    assert_eq!(shown, sql(pool, &by_channel).await);
}

/// The page without what differs from one moment to the next.
fn lasting(answer: &Value) -> String {
    let body = answer["body"].as_str().unwrap();
    body.lines().filter(|line| !line.contains(" ago<") && !line.contains(" as of ")).collect()
}

#[tokio::test]
async fn the_same_question_has_the_same_answer() {
    let (url, _) = warehouse().await;
    let handler = boot_with(&[("DATABASE_URL", &url)]).await;
    for query in ["", "days=1", "from=2024-01-02&to=2024-01-03", "from=1999-01-01&to=1999-01-02"] {
        let first = get(&handler, query, &credentials("example")).await;
        assert_eq!(first["statusCode"], 200);
        assert_eq!(lasting(&get(&handler, query, &credentials("example")).await), lasting(&first));
    }
    let two_days = get(&handler, "from=2024-01-02&to=2024-01-03", &credentials("example")).await;
    assert_eq!(table(two_days["body"].as_str().unwrap(), "Data by day, bytes").len(), 1);
}

/// What the page says in place of figures, in its order.
fn notes(answer: &Value) -> String {
    let body = answer["body"].as_str().unwrap();
    let notes = body
        .split(r#"<p class="note"#)
        .skip(1)
        .map(|note| front::read(note.split_once('>').unwrap().1.split("</p>").next().unwrap()));
    let mut notes: Vec<_> = notes.collect();
    notes.dedup();
    format!("{} {}", answer["statusCode"], notes.join("\n"))
}

async fn check(handler: &Handler, query: &str, expect: Expect) {
    expect.assert_eq(&notes(&get(handler, query, &credentials("example")).await));
}

#[tokio::test]
async fn what_is_not_there_is_said_in_its_place() {
    let empty = test_support::postgres_database().await;
    let query = "from=2024-01-01&to=2024-01-02";
    let handler = boot_with(&[("DATABASE_URL", &empty)]).await;
    check(
        &handler,
        "",
        expect![[r#"
            200 This is made by the first load: run trunkline load --now, or wait for the next full hour.
            This needs KAFKA_BROKERS, which is not set.
            This is made by the first load: run trunkline load --now, or wait for the next full hour."#]],
    )
    .await;
    // The tables are there and nothing is in them.
    let truncate = "TRUNCATE analytics.usage_by_day, analytics.messages_by_day, analytics.response_times, ops.runs, ops.layer_audit, \
                    ops.lanes, ops.file_conflicts, ops.unmatched_files, raw.rejected, ops.unusable_records";
    pool(&empty).batch(&format!("{WAREHOUSE};{truncate}")).await.unwrap();
    check(
        &handler,
        "",
        expect![[r#"
            200 There is no usage in the warehouse yet.
            There are no messages in the warehouse yet.
            This needs KAFKA_BROKERS, which is not set.
            Nothing has been loaded yet.
            No file waits for a decision.
            Every file on the servers is taken.
            There has been no load yet.
            No load has had anything to count yet.
            Nothing has been rejected."#]],
    )
    .await;
    check(
        &handler,
        query,
        expect![[r#"
            200 No usage in these days.
            No messages in these days.
            No customer was answered in these days.
            This needs KAFKA_BROKERS, which is not set.
            Nothing has been loaded yet.
            No file waits for a decision.
            Every file on the servers is taken.
            There has been no load yet.
            No load has had anything to count yet.
            Nothing has been rejected."#]],
    )
    .await;
    let down = [DOWN, ("KAFKA_BROKERS", "127.0.0.1:1")];
    check(
        &boot_with(&down).await,
        "",
        expect!["200 This can't be read just now; the function's log says why. Try again."],
    )
    .await;
    check(
        &handler,
        "from=<b>&to=2024-01-02",
        expect!["400 from: a day is written YYYY-MM-DD and lies between 1970-01-01 and 2100-12-31"],
    )
    .await;
}

#[tokio::test]
async fn one_day_is_shown_by_the_hour() {
    let (url, pool) = warehouse().await;
    let handler = boot_with(&[("DATABASE_URL", &url)]).await;
    let by_hour = |what: &str, table: &str, time: &str, which: &str| {
        format!(
            "SELECT to_char({time}, 'YYYY-MM-DD HH24:00'), {what} FROM {table} WHERE {time}::date = '2024-01-14' {which} \
             GROUP BY 1 ORDER BY 1"
        )
    };
    let bytes = by_hour(
        "to_char(sum(up_bytes + down_bytes), 'FM999,999,999,999,999')",
        "prepared_layers.usage_1h",
        "window_start",
        "AND usage_type = 'audio'",
    );
    let by_sender = by_hour("count(*)::text", "raw.messages", "message_date", "AND sender_type = 'bot'");
    let median = by_hour(
        "percentile_disc(0.5) WITHIN GROUP (ORDER BY response_seconds)::text",
        "analytics.response_times",
        "asked_at",
        "AND response_seconds IS NOT NULL",
    );
    for query in ["days=1", "from=2024-01-14"] {
        let page = get(&handler, query, &credentials("example")).await;
        let html = page["body"].as_str().unwrap();
        let column = |caption: &str, name: &str| {
            let at = heads(html, caption).iter().position(|head| head == name).unwrap();
            table(html, caption).into_iter().map(|row| vec![row[0].clone(), row[at].clone()]).collect::<Vec<_>>()
        };
        assert_eq!(column("Data by hour, bytes", "audio"), sql(&pool, &bytes).await);
        assert_eq!(column("Messages by hour and sender, count", "bot"), sql(&pool, &by_sender).await);
        assert_eq!(column("Wait for the first answer by hour, seconds", "median"), sql(&pool, &median).await);
    }
}

#[tokio::test]
async fn what_is_current_shows_itself_anew() {
    let (url, _) = warehouse().await;
    let handler = boot_with(&[("DATABASE_URL", &url)]).await;
    for (query, is_current) in [
        ("", true),
        ("days=7", true),
        ("from=&to=", true),
        ("days=7&refresh=off", false),
        ("from=2024-01-01&to=2024-01-14", false),
        ("from=<b>", false),
    ] {
        let page = get(&handler, query, &credentials("example")).await;
        let refreshes = page["body"].as_str().unwrap().contains(r#"<meta http-equiv="refresh" content="60">"#);
        assert_eq!(refreshes, is_current, "{query}");
    }
}

#[tokio::test]
async fn a_subscribers_usage_is_behind_the_masked_number() {
    let (url, pool) = warehouse().await;
    let handler = boot_with(&[("DATABASE_URL", &url)]).await;
    let page = get(&handler, "", &credentials("example")).await;
    let links = links(page["body"].as_str().unwrap());
    let places: Vec<_> = links.iter().filter(|link| link.contains("subscriber=cost.2.")).collect();
    let [place] = places[..] else { panic!("{links:?}") };
    let shown = get(&handler, place, &credentials("example")).await;
    assert_eq!(shown["statusCode"], 200);
    let html = shown["body"].as_str().unwrap();
    assert!(!html.contains("2782"), "a number is shown");
    let usage = format!(
        "WITH second AS (SELECT msisdn FROM prepared_layers.daily_usage WHERE day >= '2023-12-31' \
                         GROUP BY msisdn ORDER BY {COST} DESC LIMIT 1 OFFSET 1) \
         SELECT day::text, 'R ' || to_char({COST}, 'FM999,990.00') FROM prepared_layers.daily_usage JOIN second USING (msisdn) \
         WHERE day >= '2023-12-31' GROUP BY day ORDER BY day"
    );
    assert_eq!(table(html, "Cost by day, rand"), sql(&pool, &usage).await);
    let by_hour = get(&handler, &place.replace("days=14", "days=1"), &credentials("example")).await;
    let one_day = usage.replace("WHERE day >= '2023-12-31' GROUP BY day", "WHERE day = '2024-01-14' GROUP BY day");
    let shown = file(&handler, "cost.csv", &place.replace("days=14", "days=1"), &credentials("example")).await;
    let sum: f64 = read_csv(&shown)[1..].iter().map(|row| row[1].parse::<f64>().unwrap()).sum();
    assert!(by_hour["body"].as_str().unwrap().contains("Cost by hour"));
    let whole = sql(&pool, &one_day).await[0][1].replace("R ", "").parse::<f64>().unwrap();
    // Each hour is rounded once.
    assert!((sum - whole).abs() < 0.24, "{sum} {whole}");

    // The place is somebody else's.
    let (_, digits) = place.split_once("cost.2.").unwrap();
    let digits: u16 = digits.split('.').next().unwrap().parse().unwrap();
    let other = place.replace(&format!("cost.2.{digits:03}"), &format!("cost.2.{:03}", (digits + 1) % 1000));
    expect![[r#"404 the ranking has changed since: go back to the dashboard and follow the link again"#]]
        .assert_eq(&notes(&get(&handler, &other, &credentials("example")).await));
    assert_eq!(get(&handler, place, &credentials("shop")).await["statusCode"], 403);
}

async fn file(handler: &Handler, name: &str, query: &str, authorization: &str) -> Value {
    let mut event = event("page");
    event["rawPath"] = format!("/dashboard/{name}").into();
    event["rawQueryString"] = query.into();
    event["headers"]["authorization"] = authorization.into();
    invoke(handler, &event).await
}

#[tokio::test]
async fn every_table_is_a_file() {
    let (url, pool) = warehouse().await;
    let brokers = test_support::broker().await;
    behind(brokers).await;
    let handler = boot_with(&[("DATABASE_URL", &url), ("KAFKA_BROKERS", brokers)]).await;
    let page = get(&handler, "", &credentials("example")).await;
    let links = links(page["body"].as_str().unwrap());
    let files: Vec<_> = links.iter().filter_map(|link| link.strip_prefix("/dashboard/")?.split_once('?')).collect();
    assert_eq!(files.len(), page["body"].as_str().unwrap().matches("<table>").count());
    for (name, query) in files {
        let answer = file(&handler, name, query, &credentials("example")).await;
        assert_eq!(answer["statusCode"], 200, "{name}");
        assert_eq!(answer["headers"]["content-type"], "text/csv; charset=utf-8; header=present");
        assert!(read_csv(&answer).len() > 1, "{name}");
    }
    let data = sql(
        &pool,
        "SELECT day::text, sum(up_bytes + down_bytes) FILTER (WHERE usage_type = 'video')::text FROM analytics.usage_by_day \
         WHERE category = 'data' AND day >= '2024-01-08' GROUP BY day ORDER BY day",
    );
    let shown = read_csv(&file(&handler, "data.csv", "days=7", &credentials("example")).await);
    assert_eq!(shown[0][..2], ["Day", "video, bytes"]);
    assert_eq!(shown[1..].iter().map(|row| row[..2].to_vec()).collect::<Vec<_>>(), data.await);
    expect![[r#"
        Function,Topic,Behind,Consumers"#]]
    .assert_eq(&read_csv(&file(&handler, "mappings.csv", "", &credentials("example")).await)[0].join(","));

    for (name, query, authorization, status) in [
        ("data.csv", "", "", 401),
        ("data.csv", "", &*credentials("shop"), 403),
        ("data.csv", "days=0", &credentials("example"), 400),
        ("data.csv", "from=1999-01-01", &credentials("example"), 404),
        ("data", "", &credentials("example"), 404),
        ("msisdns.csv", "", &credentials("example"), 404),
    ] {
        let answer = file(&handler, name, query, authorization).await;
        assert_eq!(answer["statusCode"], status, "{name}?{query}");
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }
    let away = boot_with(&[DOWN]).await;
    assert_eq!(file(&away, "data.csv", "", &credentials("example")).await["statusCode"], 503);
}

fn read_csv(answer: &Value) -> Vec<Vec<String>> {
    let text = answer["body"].as_str().unwrap();
    assert!(text.split_inclusive('\n').all(|line| line.ends_with("\r\n")), "{text}");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test]
async fn it_is_for_those_who_may_see_everybody() {
    let handler = boot_with(&[DOWN]).await;
    for (authorization, status) in [("", 401), ("Basic wrong", 401), (&*credentials("shop"), 403)] {
        let answer = get(&handler, "", authorization).await;
        assert_eq!(answer["statusCode"], status);
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn every_event_has_its_answer() {
    let (url, _) = warehouse().await;
    let handler = boot_with(&[("DATABASE_URL", &url)]).await;
    let cases: [(&str, Expect); 7] = [
        ("page", expect!["200 text/html; charset=utf-8 null"]),
        ("page-head", expect!["200 text/html; charset=utf-8 null"]),
        ("malformed-day", expect!["400 text/html; charset=utf-8 null"]),
        ("no-credentials", expect!["401 application/problem+json null"]),
        ("out-of-scope", expect!["403 application/problem+json null"]),
        ("unknown-table", expect!["404 application/problem+json null"]),
        ("method-not-allowed", expect![[r#"405 application/problem+json "GET, HEAD""#]]),
    ];
    let files = std::fs::read_dir(root().join("events/dashboard-http")).unwrap();
    let files = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "json"));
    let files: BTreeSet<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(files, cases.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (name, expect) in cases {
        let answer = invoke(&handler, &event(name)).await;
        let headers = &answer["headers"];
        let content_type = headers["content-type"].as_str().unwrap();
        expect.assert_eq(&format!("{} {content_type} {}", answer["statusCode"], headers["allow"]));
        assert_eq!(answer["body"].as_str().unwrap().is_empty(), name == "page-head");
        // Answering changes nothing, and a remembered password makes no difference.
        assert_eq!(lasting(&invoke(&handler, &event(name)).await), lasting(&answer), "{name}, the second time");
    }
}

#[tokio::test]
async fn its_problems_are_said() {
    let handler = boot_with(&[DOWN]).await;
    let problem = async |name: &str, query: &str, authorization: &str| {
        test_support::shown_answer(&file(&handler, name, query, authorization).await)
    };
    expect![[r#"
        403 content-type: application/problem+json
        {"type":"urn:trunkline:problem:out-of-scope","title":"This is outside your scope","status":403,"detail":"the dashboard shows everybody's usage: ask as a user whose scope is everybody (\"*\")"}"#]]
    .assert_eq(&problem("data.csv", "", &credentials("shop")).await);
    expect![[r#"
        503 content-type: application/problem+json, retry-after: 5
        {"type":"urn:trunkline:problem:unavailable","title":"Usage can't be read just now","status":503,"detail":"usage can't be read just now: try again in 5 seconds"}"#]]
    .assert_eq(&problem("data.csv", "", &credentials("example")).await);
    let (url, _) = warehouse().await;
    let empty = boot_with(&[("DATABASE_URL", &url)]).await;
    let answer = file(&empty, "data.csv", "from=1999-01-01", &credentials("example")).await;
    expect![[r#"
        404 content-type: application/problem+json
        {"type":"urn:trunkline:problem:not-found","title":"No such path","status":404,"detail":"this table has nothing to show: the dashboard says why"}"#]]
    .assert_eq(&test_support::shown_answer(&answer));
}

#[tokio::test]
async fn a_request_is_one_line_of_the_log_without_secrets() {
    let handler = boot_with(&[DOWN]).await;
    for (name, path) in
        [("no-credentials", "/dashboard"), ("out-of-scope", "/dashboard"), ("page", "/dashboard/data.csv")]
    {
        let mut event = event(name);
        event["requestContext"]["requestId"] = format!("logged-{name}").into();
        event["rawPath"] = path.into();
        invoke(&handler, &event).await;
    }
    let lines = test_support::log().text();
    for secret in ["example-password", "shop-password", "Basic ", "u:secret", "argon2"] {
        assert!(!lines.contains(secret), "{secret} is in the log:\n{lines}");
    }
    let lines = lines.lines().filter(|line| line.contains("\"logged-")).map(|line| {
        let mut line: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
        assert!(line.remove("duration_ms").is_some_and(|it| it.is_u64()));
        assert_eq!(line.remove("error").is_some(), line["http.status"] == 503);
        serde_json::to_string(&line).unwrap() + "\n"
    });
    expect![[r#"
        {"http.method":"GET","http.request_id":"logged-no-credentials","http.route":"/dashboard","http.status":401,"level":"INFO","message":"answered","problem":"unauthorized"}
        {"http.method":"GET","http.request_id":"logged-out-of-scope","http.route":"/dashboard","http.status":403,"level":"INFO","message":"answered","problem":"out-of-scope","user":"shop"}
        {"http.method":"GET","http.request_id":"logged-page","http.route":"/dashboard/{table}","http.status":503,"level":"ERROR","message":"no answer","user":"example"}
    "#]].assert_eq(&lines.collect::<String>());
}

#[tokio::test]
async fn other_events_fail_the_invocation() {
    let handler = boot_with(&[DOWN]).await;
    let invocation =
        Invocation { payload: Bytes::from_static(b"{}"), deadline: Deadline::NONE, request_id: "test".into() };
    let error = handler(invocation).await.unwrap_err();
    expect!["this is not an HTTP API event of payload format 2.0: missing field `version` at line 1 column 2"]
        .assert_eq(&error.to_string());
}

#[test]
fn the_paths_are_those_of_openapi_and_the_template() {
    let ours: BTreeSet<String> = Route::PATHS.map(str::to_owned).into();
    let openapi = std::fs::read_to_string(root().join("docs/openapi.yaml")).unwrap();
    let described = openapi.lines().filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':'));
    let described = described.filter(|path| path.starts_with("dashboard")).map(|path| format!("/{path}"));
    assert_eq!(described.collect::<BTreeSet<_>>(), ours);
    let template = std::fs::read_to_string(root().join("template.yaml")).unwrap();
    let (_, function) = template.split_once("\n  DashboardHttp:\n").unwrap();
    let (function, _) = function.split_once("\n\n").unwrap();
    let routed = function.lines().filter_map(|line| line.split_once(" Path: ")?.1.split(',').next());
    assert_eq!(routed.map(|path| path.trim_matches('"').to_owned()).collect::<BTreeSet<_>>(), ours);
}
