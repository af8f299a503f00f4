//! Do the API's numbers equal the files'? A second count of the files, that shares nothing with the pipeline, against
//! what the API answers for every subscriber, and the conservation laws of every file.

mod answers;
mod basis;
#[cfg(test)]
mod cases;
mod count;
#[cfg(test)]
mod count_tests;
mod decode;
mod laws;
mod money;
mod rows;
mod sheet;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod three_counts;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, ensure};
use lake::Lake;
use lambda_boot::Vars;
use usage_store::Store;

use crate::cli::{DEFAULT_TEMPLATE, TemplateArgs, VerifyArgs};
use crate::figures::{Api, FileFigures};
use crate::files::books::Books;
use crate::functions::Project;
use crate::parameters::Parameters;
use answers::compare_answers;
use basis::Basis;
use count::{Counted, Delivered};
use laws::compare_files;

/// Where the API user's password is looked for first.
const PASSWORD_VARIABLE: &str = "TRUNKLINE_API_PASSWORD";

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
    /// Those of them that may still go away: what is on its way is not counted yet.
    pending: usize,
    /// Those of these for which a person has to decide first. Nothing of such a file is in the answers.
    undecided: usize,
    /// Files that are known not to count.
    left_out: usize,
    /// Whether the files tell less than the answers, or more: then they can't be compared.
    is_incomplete: bool,
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

    /// What is on its way may be in the answers, or not.
    fn note_on_its_way(&mut self, difference: String) {
        self.is_incomplete = true;
        self.note_pending(difference);
    }

    fn note_undecided(&mut self, difference: String) {
        self.undecided += 1;
        self.note_pending(difference);
    }

    /// Whether the answers are to be those of the files.
    fn may_compare_answers(&self) -> bool {
        !self.is_incomplete && self.differences == self.undecided
    }

    /// Why the command fails.
    fn failure(&self) -> &'static str {
        if self.differences == self.undecided {
            "files wait for a decision: look with `trunkline files`"
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
        let left_out = match self.left_out {
            0 => String::new(),
            n => format!(" ({n} of them dropped or replaced, and left out)"),
        };
        match (*differences, *subscribers) {
            (0, 0) if self.is_clean() => {
                return write!(
                    f,
                    "Verified: none of the {files} files has a row that counts, and none was counted{left_out}"
                );
            }
            (0, 0) => return write!(f, "NOT VERIFIED: the {files} files have no subscriber to compare"),
            (0, _) => {
                return write!(
                    f,
                    "Verified: the answers for all {subscribers} subscribers equal a second count of the {files} files\
                     {left_out}"
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
    let delivered = Delivered::list(&args.paths)?;
    let said = if args.files { figures_of(&vars, &delivered).await? } else { Vec::new() };
    let counted = recount(delivered, &basis, &said).await?;
    let mut verdict = Verdict::of(&counted);
    if args.files {
        compare_files(&counted, &said, &mut verdict);
    }
    // As long as rows are missing, so are they in the answers.
    if verdict.may_compare_answers() {
        let api = Api { url: args.url, user: args.user, password: password()? };
        compare_answers(&counted, &basis.tariff, &api, &mut verdict).await?;
    }
    let is_anything_compared = verdict.differences > 0 || verdict.is_clean();
    ensure!(is_anything_compared, "{verdict}: name the files or folders that were delivered");
    println!("{verdict}");
    ensure!(verdict.is_clean(), "{}", verdict.failure());
    Ok(())
}

/// The variables of the template that the command line names, else of the one that the program was built with: the
/// count goes by their time zone and prices.
fn variables(args: &TemplateArgs) -> anyhow::Result<Vars> {
    let project = if args.template.exists() || args.template.as_os_str() != DEFAULT_TEMPLATE {
        Project::read(args)
    } else {
        let parameters = Parameters::gather(args.parameters.as_deref(), &args.parameter_overrides)?;
        Project::with(None, parameters)
    };
    let advice = "verify counts by the template's time zone and prices: name the parameters that `trunkline up` runs \
                  with (--parameters, TRUNKLINE_PARAMETERS)";
    Ok(project.context(advice)?.all_vars())
}

/// Counts the files of `folder` anew and compares with what the API answers and what the pipeline says of each file.
///
/// # Errors
/// When a file can't be read or the API can't be reached. Wrong and refused answers are differences, not errors.
pub(crate) async fn verify(folder: &Path, vars: &Vars, api: &Api, files: &[FileFigures]) -> anyhow::Result<Verdict> {
    let basis = Basis::from_vars(vars)?;
    let counted = recount(Delivered::list(&[folder.to_owned()])?, &basis, files).await?;
    let mut verdict = Verdict::of(&counted);
    compare_files(&counted, files, &mut verdict);
    compare_answers(&counted, &basis.tariff, api, &mut verdict).await?;
    Ok(verdict)
}

/// Counts what was delivered, without what is said to be left out: it waits, was dropped, or another file took its
/// place.
async fn recount(delivered: Delivered, basis: &Basis, said: &[FileFigures]) -> anyhow::Result<Counted> {
    let zone = basis.zone.clone();
    let left_out: BTreeSet<String> =
        said.iter().filter(|file| file.newest_state().is_left_out()).map(|file| file.name.clone()).collect();
    tokio::task::spawn_blocking(move || delivered.count(&zone, &left_out)).await?
}

/// What the lake and the usage store say of each of the files.
async fn figures_of(vars: &Vars, delivered: &Delivered) -> anyhow::Result<Vec<FileFigures>> {
    let lake = Lake::connect(&vars.read()?);
    let store = Store::connect(vars.get("USAGE_STORE").context("the template sets no USAGE_STORE")?)?;
    let books = Books::read(&lake, &store, "", |name| delivered.has(name.as_str())).await?;
    Ok(books.into_figures())
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
