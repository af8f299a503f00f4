//! Do the API's numbers equal the files'? A second count of the files, that shares nothing with the pipeline, against
//! what the API answers for every subscriber, and both conservation laws for every file.

mod count;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use hyper::StatusCode;
use lake::Lake;
use lambda_boot::Vars;
use serde_json::{Value, json};
use usage_store::Store;

use crate::cli::{TemplateArgs, VerifyArgs};
use crate::client::{Client, Patience};
use crate::figures::{Api, FileFigures};
use crate::follow::Follow;
use crate::functions::Project;
use count::{Amount, Counted, Usage, count};

/// Where the API user's password is looked for first.
const PASSWORD_VARIABLE: &str = "TRUNKLINE_API_PASSWORD";

/// Requests that wait for their answers at once: enough to keep the API busy, few enough for its database.
const REQUESTS_IN_FLIGHT: usize = 16;

/// The store may be busy or away for a while.
const PATIENCE: Patience = Patience { answer: Duration::from_secs(30), attempts: 5 };

/// Differences that are shown, and how much of each; all are counted.
const SHOWN_DIFFERENCES: usize = 20;
const SHOWN_CHARS: usize = 300;

/// What the comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Subscribers whose answers were compared.
    pub(crate) subscribers: usize,
    /// Files whose rows were compared.
    pub(crate) files: usize,
    /// All differences.
    pub(crate) differences: usize,
    /// The first of them, for people.
    shown: Vec<String>,
}

impl Verdict {
    /// Nothing differs, and there was something to compare.
    pub(crate) fn is_clean(&self) -> bool {
        self.differences == 0 && self.subscribers > 0
    }

    fn note(&mut self, difference: String) {
        self.differences += 1;
        if self.shown.len() < SHOWN_DIFFERENCES {
            self.shown.push(difference.chars().take(SHOWN_CHARS).collect());
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscribers, files, differences, shown } = self;
        if self.is_clean() {
            return write!(
                f,
                "Verified: the answers for all {subscribers} subscribers equal a second count of the {files} files"
            );
        }
        if *subscribers == 0 && *differences > 0 {
            write!(f, "NOT COUNTED (yet): differences: {differences}; compared: {files} files, no subscribers")?;
        } else if *subscribers == 0 {
            write!(f, "NOT VERIFIED: the {files} files have no subscriber to compare")?;
        } else {
            write!(f, "NOT EQUAL: differences: {differences}; compared: {subscribers} subscribers, {files} files")?;
        }
        for difference in shown {
            write!(f, "\n  {difference}")?;
        }
        if *differences > shown.len() {
            write!(f, "\n  … and {} more", differences - shown.len())?;
        }
        Ok(())
    }
}

/// `trunkline verify`.
pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<()> {
    crate::logs::to_stderr();
    let counted = recount(args.paths).await?;
    let figures = if args.files { Some(figures_of(&args.template, &counted).await?) } else { None };
    let mut verdict = Verdict { files: counted.files.len(), ..Verdict::default() };
    if let Some(figures) = &figures {
        compare_files(&counted, figures, &mut verdict);
    }
    // As long as rows are missing, so are they in the answers.
    if verdict.differences == 0 {
        let api = Api { url: args.url, user: args.user, password: password()? };
        compare_answers(&counted, &api, &mut verdict).await?;
    }
    println!("{verdict}");
    ensure!(verdict.is_clean(), "the numbers differ from the files'");
    Ok(())
}

/// Counts the files of `folder` anew and compares with what the API answers and what the pipeline says of each file.
///
/// # Errors
/// When a file can't be read or the API can't be reached. Wrong and refused answers are differences, not errors.
pub(crate) async fn verify(folder: &Path, api: &Api, files: &[FileFigures]) -> anyhow::Result<Verdict> {
    let counted = recount(vec![folder.to_owned()]).await?;
    let mut verdict = Verdict { files: counted.files.len(), ..Verdict::default() };
    compare_files(&counted, files, &mut verdict);
    compare_answers(&counted, api, &mut verdict).await?;
    Ok(verdict)
}

async fn recount(paths: Vec<PathBuf>) -> anyhow::Result<Counted> {
    tokio::task::spawn_blocking(move || count(&paths)).await?
}

/// What the lake and the usage store say of each of the files.
async fn figures_of(template: &TemplateArgs, counted: &Counted) -> anyhow::Result<Vec<FileFigures>> {
    let vars = Project::read(template)?.all_vars();
    let lake = Lake::connect(&vars.read()?);
    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    let mut follow = Follow::new(&lake, &store, counted.files.keys().cloned());
    follow.look().await?;
    follow.figures().await
}

/// The API user's password: `TRUNKLINE_API_PASSWORD`, else a line of standard input.
pub(crate) fn password() -> anyhow::Result<String> {
    if let Some(password) = Vars::from_env().get(PASSWORD_VARIABLE) {
        return Ok(password.to_owned());
    }
    let mut password = String::new();
    std::io::stdin().read_line(&mut password).context("can't read the password from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "no password: set {PASSWORD_VARIABLE}, or write it to standard input");
    Ok(password.to_owned())
}

async fn compare_answers(counted: &Counted, api: &Api, verdict: &mut Verdict) -> anyhow::Result<()> {
    let client = Client::new(api, PATIENCE);
    let answers = stream::iter(&counted.subscribers).map(|(msisdn, usage)| compare(&client, msisdn, usage));
    let mut answers = answers.buffer_unordered(REQUESTS_IN_FLIGHT);
    while let Some(differences) = answers.try_next().await? {
        verdict.subscribers += 1;
        differences.into_iter().for_each(|difference| verdict.note(difference));
    }
    Ok(())
}

/// Both conservation laws, and every figure that the files themselves tell.
fn compare_files(counted: &Counted, said: &[FileFigures], verdict: &mut Verdict) {
    let said: BTreeMap<&str, &FileFigures> = said.iter().map(|file| (file.name.as_str(), file)).collect();
    for name in said.keys().filter(|name| !counted.files.contains_key(**name)) {
        verdict.note(format!("{name}: reported, but not delivered"));
    }
    // Of files with the same bytes any may be the one that counts.
    let mut alike: BTreeMap<&str, (u64, u64, u64)> = BTreeMap::new();
    for (name, file) in &counted.files {
        let Some(said) = said.get(name.as_str()) else {
            verdict.note(format!("{name}: delivered, but not reported"));
            continue;
        };
        let mut differ = |what: &str, expected: u64, found: u64| {
            if expected != found {
                verdict.note(format!("{name}: {what} {found} instead of {expected}"));
            }
        };
        differ("rows", file.rows, said.rows);
        differ("accepted", file.accepted, said.accepted);
        differ("accepted + rejected", said.rows, said.accepted + said.rejected);
        differ("counted + duplicates", said.accepted, said.counted + said.duplicates);
        let (files, counted, duplicates) = alike.entry(&file.first_of_its_bytes).or_default();
        *files += 1;
        *counted += said.counted;
        *duplicates += said.duplicates;
    }
    for (name, (files, counted_once, duplicates)) in alike {
        let accepted = counted.files[name].accepted;
        let copies = accepted * (files - 1);
        if (counted_once, duplicates) != (accepted, copies) {
            let of = format!("{name} and its copies ({files} files)");
            verdict.note(format!(
                "{of}: {counted_once} counted + {duplicates} duplicates instead of {accepted} + {copies}"
            ));
        }
    }
}

/// The differences of one subscriber: each year with usage is asked for whole, in both forms.
async fn compare(client: &Client, msisdn: &str, usage: &Usage) -> anyhow::Result<Vec<String>> {
    let mut years: BTreeMap<&str, Usage> = BTreeMap::new();
    for ((day, category, usage_type), amount) in usage {
        let key = (day.clone(), *category, usage_type.clone());
        years.entry(&day[..4]).or_default().insert(key, *amount);
    }
    let mut differences = Vec::new();
    for (year, usage) in years {
        let paths = [
            (format!("/v1/usage/{msisdn}?from={year}-01-01&to={year}-12-31"), expected_days(msisdn, year, &usage)),
            (
                format!("/data_usage?msisdn={msisdn}&start_time={year}0101000000&end_time={year}1231235959"),
                expected_data_usage(msisdn, year, &usage),
            ),
        ];
        for (path, expected) in paths {
            let (status, body) = client.get(&path).await?;
            let difference = match read(status, &body) {
                Ok(found) => difference(&expected, &found, ""),
                Err(refusal) => Some(refusal),
            };
            differences.extend(difference.map(|difference| format!("GET {path}: {difference}")));
        }
    }
    Ok(differences)
}

/// The answer, or what is wrong with it: no JSON, or no success.
fn read(status: StatusCode, body: &[u8]) -> Result<Value, String> {
    if !status.is_success() {
        return Err(format!("{status}: {}", String::from_utf8_lossy(body)));
    }
    serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
}

/// The answer to `/v1/usage/{msisdn}` that is right for one whole year.
fn expected_days(msisdn: &str, year: &str, usage: &Usage) -> Value {
    let mut days: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut sums: BTreeMap<&str, Amount> = BTreeMap::new();
    let mut total = Amount::default();
    for ((day, category, usage_type), amount) in usage {
        let mut entry = figures(amount);
        entry["category"] = json!(category);
        entry["usage_type"] = json!(usage_type);
        days.entry(day).or_default().push(entry);
        sums.entry(day).or_default().add(amount);
        total.add(amount);
    }
    let days: Vec<Value> = days
        .into_iter()
        .map(|(day, usage)| {
            let mut answer = priced(&sums[day]);
            answer["day"] = json!(day);
            answer["usage"] = json!(usage);
            answer
        })
        .collect();
    json!({
        "msisdn": msisdn, "from": format!("{year}-01-01"), "to": format!("{year}-12-31"),
        "days": days, "totals": priced(&total),
    })
}

/// The answer to `/data_usage` that is right for one whole year.
fn expected_data_usage(msisdn: &str, year: &str, usage: &Usage) -> Value {
    let entries = usage.iter().map(|((day, category, usage_type), amount)| {
        let (total, measure) = match *category {
            "data" => (amount.up_bytes.saturating_add(amount.down_bytes), "bytes"),
            _ => (amount.seconds, "seconds"),
        };
        json!({
            "category": category, "usage_type": usage_type, "total": total, "measure": measure,
            "start_time": format!("{day} 00:00:00"),
        })
    });
    json!({
        "msisdn": msisdn, "start_time": format!("{year}0101000000"), "end_time": format!("{year}1231235959"),
        "usage": entries.collect::<Vec<_>>(),
    })
}

fn figures(amount: &Amount) -> Value {
    let Amount { up_bytes, down_bytes, seconds, events } = amount;
    json!({ "up_bytes": up_bytes, "down_bytes": down_bytes, "seconds": seconds, "events": events })
}

fn priced(amount: &Amount) -> Value {
    let mut answer = figures(amount);
    answer["cost"] = json!({ "currency": "ZAR", "amount": rand(amount) });
    answer
}

/// The standard tariff: 1.00 ZAR a minute of any call, billed per second; 49.00 ZAR for 10^9 bytes, billed per byte.
fn rand(amount: &Amount) -> String {
    // In units of 1/30,000,000 cent a second (100/60 cents) and a byte (4,900/10^9 cents) are whole numbers.
    const CENT: u128 = 30_000_000;
    let bytes = u128::from(amount.up_bytes) + u128::from(amount.down_bytes);
    let units = u128::from(amount.seconds) * 50_000_000 + bytes * 147;
    let (cents, rest) = (units / CENT, units % CENT);
    // Half to even.
    let rounds_up = rest * 2 > CENT || (rest * 2 == CENT && cents % 2 == 1);
    let cents = if rounds_up { cents + 1 } else { cents };
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The first place where two answers differ.
fn difference(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(e), Value::Object(f)) if e.len() == f.len() && e.keys().all(|key| f.contains_key(key)) => {
            e.iter().find_map(|(key, value)| difference(value, &f[key], &format!("{at}.{key}")))
        }
        (Value::Array(e), Value::Array(f)) => {
            let mut pairs = e.iter().zip(f).enumerate();
            let entry = pairs.find_map(|(i, (expected, found))| difference(expected, found, &format!("{at}[{i}]")));
            let length = (e.len() != f.len()).then(|| format!("{at} has {} entries instead of {}", f.len(), e.len()));
            entry.or(length)
        }
        _ if expected == found => None,
        _ => Some(format!("{} is {found} instead of {expected}", if at.is_empty() { "the answer" } else { at })),
    }
}
