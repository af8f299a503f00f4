//! Do the API's numbers equal the files'? A second count of the files, that shares nothing with the pipeline, against
//! what the API answers for every subscriber, and both conservation laws for every file.

mod basis;
mod count;
mod money;
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

use crate::cli::{DEFAULT_TEMPLATE, TemplateArgs, VerifyArgs};
use crate::client::{Client, Patience};
use crate::figures::{Api, FileFigures};
use crate::files::books::Books;
use crate::functions::Project;
use crate::parameters::Parameters;
use basis::Basis;
use count::{Amount, Counted, Usage, count};
use money::{Cost, Tariff};

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
    /// Files whose rows were counted.
    pub(crate) files: usize,
    /// Whether what the pipeline says of each file was compared, too.
    are_files_compared: bool,
    /// All differences.
    pub(crate) differences: usize,
    /// Those of them that may still go away by themselves: what is on its way is not counted yet.
    pending: usize,
    /// The first of them, for people.
    shown: Vec<String>,
}

impl Verdict {
    fn of(counted: &Counted) -> Self {
        Self { files: counted.files.len(), ..Self::default() }
    }

    /// Nothing differs, and there was something to compare.
    pub(crate) fn is_clean(&self) -> bool {
        self.differences == 0 && (self.subscribers > 0 || (self.are_files_compared && self.files > 0))
    }

    fn note(&mut self, difference: String) {
        self.differences += 1;
        if self.shown.len() < SHOWN_DIFFERENCES {
            self.shown.push(difference.chars().take(SHOWN_CHARS).collect());
        }
    }

    fn note_pending(&mut self, difference: String) {
        self.pending += 1;
        self.note(difference);
    }

    /// Why the command fails.
    fn failure(&self) -> &'static str {
        if self.differences == 0 {
            "nothing was compared: name the files or folders that were delivered"
        } else if self.differences == self.pending {
            "not everything is counted yet: try again later"
        } else {
            "the numbers differ from the files'"
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscribers, files, differences, pending, shown, .. } = self;
        match (*differences, *subscribers) {
            (0, 0) if self.is_clean() => {
                return write!(f, "Verified: none of the {files} files has a row that counts, and none was counted");
            }
            (0, 0) => return write!(f, "NOT VERIFIED: the {files} files have no subscriber to compare"),
            (0, _) => {
                return write!(
                    f,
                    "Verified: the answers for all {subscribers} subscribers equal a second count of the {files} files"
                );
            }
            _ if differences == pending => {
                write!(f, "NOT COUNTED (yet): {pending}; {files} files")?;
            }
            (_, 0) => write!(f, "NOT EQUAL: differences: {differences}; compared: {files} files, no subscribers")?,
            _ => {
                write!(f, "NOT EQUAL: differences: {differences}; compared: {subscribers} subscribers, {files} files")?
            }
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
    let vars = variables(&args.template)?;
    let basis = Basis::from_vars(&vars)?;
    let counted = recount(args.paths, &basis).await?;
    let mut verdict = Verdict::of(&counted);
    if args.files {
        compare_files(&counted, &figures_of(&vars, &counted).await?, &mut verdict);
    }
    // As long as rows are missing, so are they in the answers.
    if verdict.differences == 0 {
        let api = Api { url: args.url, user: args.user, password: password()? };
        compare_answers(&counted, &basis.tariff, &api, &mut verdict).await?;
    }
    println!("{verdict}");
    ensure!(verdict.is_clean(), "{}", verdict.failure());
    Ok(())
}

/// The variables of the template that the command line names, else of the one that the program was built with: the count
/// goes by their time zone and prices.
fn variables(args: &TemplateArgs) -> anyhow::Result<Vars> {
    let project = if args.template.exists() || args.template.as_os_str() != DEFAULT_TEMPLATE {
        Project::read(args)
    } else {
        let parameters = Parameters::gather(args.parameters.as_deref(), &args.parameter_overrides)?;
        Project::with(None, parameters)
    };
    let advice = "verify counts by the template's time zone and prices: name the parameters that `trunkline up` runs with \
                  (--parameters, TRUNKLINE_PARAMETERS)";
    Ok(project.context(advice)?.all_vars())
}

/// Counts the files of `folder` anew and compares with what the API answers and what the pipeline says of each file.
///
/// # Errors
/// When a file can't be read or the API can't be reached. Wrong and refused answers are differences, not errors.
pub(crate) async fn verify(folder: &Path, vars: &Vars, api: &Api, files: &[FileFigures]) -> anyhow::Result<Verdict> {
    let basis = Basis::from_vars(vars)?;
    let counted = recount(vec![folder.to_owned()], &basis).await?;
    let mut verdict = Verdict::of(&counted);
    compare_files(&counted, files, &mut verdict);
    compare_answers(&counted, &basis.tariff, api, &mut verdict).await?;
    Ok(verdict)
}

async fn recount(paths: Vec<PathBuf>, basis: &Basis) -> anyhow::Result<Counted> {
    let zone = basis.zone.clone();
    tokio::task::spawn_blocking(move || count(&paths, &zone)).await?
}

/// What the lake and the usage store say of each of the files.
async fn figures_of(vars: &Vars, counted: &Counted) -> anyhow::Result<Vec<FileFigures>> {
    let lake = Lake::connect(&vars.read()?);
    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    let files = Books::read(&lake, &store, None).await?.into_figures();
    Ok(files.into_iter().filter(|file| counted.files.contains_key(&file.name)).collect())
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

async fn compare_answers(counted: &Counted, tariff: &Tariff, api: &Api, verdict: &mut Verdict) -> anyhow::Result<()> {
    let client = Client::new(api, PATIENCE)?;
    let answers = stream::iter(&counted.subscribers).map(|(msisdn, usage)| compare(&client, tariff, msisdn, usage));
    let mut answers = answers.buffer_unordered(REQUESTS_IN_FLIGHT);
    while let Some(differences) = answers.try_next().await? {
        verdict.subscribers += 1;
        differences.into_iter().for_each(|difference| verdict.note(difference));
    }
    Ok(())
}

/// Both conservation laws, and every figure that the files themselves tell.
fn compare_files(counted: &Counted, said: &[FileFigures], verdict: &mut Verdict) {
    verdict.are_files_compared = true;
    let said: BTreeMap<&str, &FileFigures> = said.iter().map(|file| (file.name.as_str(), file)).collect();
    for name in said.keys().filter(|name| !counted.files.contains_key(**name)) {
        verdict.note(format!("{name}: reported, but not delivered"));
    }
    // Of files with the same bytes any may be the one that counts.
    let mut alike: BTreeMap<&str, Copies> = BTreeMap::new();
    for (name, file) in &counted.files {
        let copies = alike.entry(&file.first_of_its_bytes).or_default();
        let Some(said) = said.get(name.as_str()) else {
            copies.are_on_their_way = true;
            verdict.note_pending(format!("{name}: delivered, and not read yet"));
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
        if said.counted + said.duplicates < said.accepted {
            copies.are_on_their_way = true;
            let accounted = said.counted + said.duplicates;
            verdict.note_pending(format!("{name}: {accounted} of {} accepted rows are counted", said.accepted));
        } else {
            differ("counted + duplicates", said.accepted, said.counted + said.duplicates);
        }
        copies.files += 1;
        copies.counted += said.counted;
        copies.duplicates += said.duplicates;
    }
    for (name, copies) in alike.iter().filter(|(_, copies)| !copies.are_on_their_way) {
        let Copies { files, counted: counted_once, duplicates, .. } = copies;
        let accepted = counted.files[*name].accepted;
        let repeated = accepted * (files - 1);
        if (*counted_once, *duplicates) != (accepted, repeated) {
            verdict.note(format!(
                "{name} and its copies ({files} files): {counted_once} counted + {duplicates} duplicates instead of \
                 {accepted} + {repeated}"
            ));
        }
    }
}

/// Files with the same content.
#[derive(Default)]
struct Copies {
    files: u64,
    counted: u64,
    duplicates: u64,
    are_on_their_way: bool,
}

/// The differences of one subscriber: each year with usage is asked for whole, in both forms.
async fn compare(client: &Client, tariff: &Tariff, msisdn: &str, usage: &Usage) -> anyhow::Result<Vec<String>> {
    let mut years: BTreeMap<&str, Usage> = BTreeMap::new();
    for ((day, category, usage_type), amount) in usage {
        let key = (day.clone(), *category, usage_type.clone());
        years.entry(&day[..4]).or_default().insert(key, *amount);
    }
    let mut differences = Vec::new();
    for (year, usage) in years {
        let paths = [
            (
                format!("/v1/usage/{msisdn}?from={year}-01-01&to={year}-12-31"),
                expected_days(tariff, msisdn, year, &usage),
            ),
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
fn expected_days(tariff: &Tariff, msisdn: &str, year: &str, usage: &Usage) -> Value {
    let mut days: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut sums: BTreeMap<&str, (Amount, Cost)> = BTreeMap::new();
    let mut total = (Amount::default(), Cost::default());
    for ((day, category, usage_type), amount) in usage {
        let mut entry = figures(amount);
        entry["category"] = json!(category);
        entry["usage_type"] = json!(usage_type);
        days.entry(day).or_default().push(entry);
        let cost = tariff.cost(day, category, usage_type, amount);
        for sum in [sums.entry(day).or_default(), &mut total] {
            sum.0.add(amount);
            sum.1.add(cost);
        }
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

fn priced((amount, cost): &(Amount, Cost)) -> Value {
    let mut answer = figures(amount);
    answer["cost"] = json!({ "currency": "ZAR", "amount": cost.rand() });
    answer
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
