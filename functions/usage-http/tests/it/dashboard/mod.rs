//! The dashboard, as an answer and in a browser.

mod front;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postgres_pool::{Names, Pool};
use tokio_postgres::Row;

use super::*;
use front::{Front, get, table};

const WAREHOUSE: &str = include_str!("warehouse.sql");

async fn boot_with(variables: &[(&str, &str)]) -> Handler {
    test_support::log();
    let users = users();
    let others = [("USAGE_STORE", "postgres://nobody@127.0.0.1:1/none"), ("API_USERS", &users)];
    usage_http::boot(others.iter().chain(variables).copied().collect()).await.unwrap()
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
    let topics: Vec<_> =
        table(&dom, "Loaded, by topic").into_iter().map(|row| [&row[0], &*row[2], &row[3]].join(" · ")).collect();
    expect![[r#"
        cdr-data · 2 h · 1 h ago
        chat-messages · 72 h ahead · 1 h ago
        rejected · – · 48 h ago"#]]
    .assert_eq(&topics.join("\n"));
    expect![[r#"
        cdr_data_20240101_000000.csv · cdr_data_20240101_000000.csv · same name, other rows · 3 · 2 · 26 h
        cdr_voice_20240102_000000.csv · cdr_voice_20240101_000000.csv · shares most rows · 1,300 · 1,299 · 2 h"#]]
    .assert_eq(&lines("Files that wait for a decision"));

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
    assert_eq!(table(dom, "Wait for the first answer, by day, seconds"), sql(pool, &by_day).await);
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
    body.lines().filter(|line| !line.contains(" ago<") && !line.contains(" UTC</p>")).collect()
}

#[tokio::test]
async fn the_same_question_has_the_same_answer() {
    let (url, _) = warehouse().await;
    let handler = boot_with(&[("DATABASE_URL", &url)]).await;
    for query in ["", "from=2024-01-02&to=2024-01-03", "from=1999-01-01&to=1999-01-02"] {
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
        .map(|note| note.split_once('>').unwrap().1.split("</p>").next().unwrap());
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
        200 This is made by the first load: run <code>trunkline load --now</code>, or wait for the next full hour.
        This needs <code>KAFKA_BROKERS</code>, which is not set.
        This is made by the first load: run <code>trunkline load --now</code>, or wait for the next full hour."#]],
    )
    .await;
    // The tables are there and nothing is in them.
    let truncate = "TRUNCATE analytics.usage_by_day, analytics.messages_by_day, analytics.response_times, ops.runs, ops.layer_audit, \
                    ops.lanes, ops.file_conflicts, raw.rejected, ops.unusable_records";
    pool(&empty).batch(&format!("{WAREHOUSE};{truncate}")).await.unwrap();
    check(
        &handler,
        "",
        expect![[r#"
            200 There is no usage in the warehouse yet.
            There are no messages in the warehouse yet.
            This needs <code>KAFKA_BROKERS</code>, which is not set.
            Nothing has been loaded yet.
            No file waits for a decision.
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
            This needs <code>KAFKA_BROKERS</code>, which is not set.
            Nothing has been loaded yet.
            No file waits for a decision.
            There has been no load yet.
            No load has had anything to count yet.
            Nothing has been rejected."#]],
    )
    .await;
    // Nobody listens there.
    let down = [("DATABASE_URL", "postgres://u:secret@127.0.0.1:1/d"), ("KAFKA_BROKERS", "127.0.0.1:1")];
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
async fn it_is_for_those_who_may_see_everybody() {
    let handler = boot_with(&[("DATABASE_URL", "postgres://u:secret@127.0.0.1:1/d")]).await;
    for (authorization, status) in [("", 401), ("Basic wrong", 401), (&*credentials("shop"), 403)] {
        let answer = get(&handler, "", authorization).await;
        assert_eq!(answer["statusCode"], status);
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }
    let answer = get(&boot_with(&[]).await, "", &credentials("example")).await;
    assert_eq!(answer["statusCode"], 404);
    assert!(answer["body"].as_str().unwrap().contains("set DATABASE_URL"));
}
