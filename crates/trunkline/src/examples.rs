//! The examples below the help texts. A test reads each of them as the command line would.

pub(crate) const DEMO: &str = "\
Examples:
  trunkline demo                                  # everything in one process; serves until Ctrl-C
  trunkline demo --verify --exit                  # counts all files a second time, and ends
  trunkline demo --faults 0.05 --data-dir demo    # with broken rows; kill it at any moment and start it again";

pub(crate) const INIT: &str = "\
Examples:
  export TRUNKLINE_PARAMETERS=local.parameters    # addresses and credentials, as docs/own-services.md has them
  trunkline init                                  # a second time, it changes nothing
  trunkline init --timeout 120                    # for brokers that are just starting";

pub(crate) const CHECK: &str = "\
Examples:
  trunkline check --parameters local.parameters
  trunkline check --json --timeout 10    # for a monitor

Each line is `ok` or `FAULT`, the service, and what was found. The exit code is 1 if anything is wrong. Nothing is changed, \
but for an object below checks/ in the lake's bucket, which is removed again.";

pub(crate) const UP: &str = "\
Examples:
  trunkline up --parameters local.parameters
  trunkline up --listen 127.0.0.1:8080            # the API's address; behind a proxy, for other machines
  trunkline up --invoke http://127.0.0.1:9001     # the functions run under `cargo lambda watch`";

pub(crate) const STATUS: &str = "\
Examples:
  trunkline status
  trunkline status --check                        # for a monitor
  trunkline status --json";

pub(crate) const LOAD: &str = "\
Examples:
  trunkline load --now                            # everything that is in the topics at this moment
  trunkline load --from 2024-01-01T00 --to 2024-01-02T00
  trunkline load --full-refresh                   # builds all models anew";

pub(crate) const SKIP: &str = "\
Examples:
  trunkline skip --topic cdr-voice --partition 0 --offset 1234567

GET /health/mappings of `trunkline up` says where a partition stands still, and why.";

pub(crate) const FILES: &str = "\
Examples:
  trunkline files
  trunkline files --check                         # for a monitor
  trunkline files cdr_voice_20240101_120000.csv
  trunkline files replace cdr_voice_20240101_120000.csv";

pub(crate) const INVOKE: &str = "\
Examples:
  trunkline invoke sftp-poll events/sftp-poll/schedule.json";

pub(crate) const REPLAY: &str = "\
Examples:
  trunkline replay events/usage-http/health.json
  trunkline replay events/batch-aggregator/*.json   # is counted: only where everything is thrown away afterwards";

pub(crate) const GENERATE_CDR: &str = "\
Examples:
  trunkline generate cdr --to-folder cdr --seconds 3600 --subscribers 200 --faults 0.02
  trunkline generate cdr --to-topics              # KAFKA_BROKERS says where
  trunkline generate cdr --to-sftp                # SFTP_HOST, SFTP_USER, SFTP_PASSWORD and SFTP_HOST_KEY say where";

pub(crate) const GENERATE_CRM: &str = "\
Examples:
  trunkline generate crm --database-url postgres://localhost/wtc_prod --accounts 1000 --changes 500

An address with a password belongs in the variable CRM_DATABASE_URL, where other users of the machine don't see it.";

pub(crate) const GENERATE_MESSAGES: &str = "\
Examples:
  trunkline generate messages --url http://127.0.0.1:18089 --user me --count 100
  trunkline generate messages --to-file messages.jsonl";

pub(crate) const VERIFY: &str = "\
Examples:
  trunkline verify cdr --user me                  # TRUNKLINE_API_PASSWORD, or standard input, has the password
  trunkline verify cdr --files --user me --url https://usage.example.org";

pub(crate) const COMPLETION: &str = "\
Examples:
  trunkline completion bash > ~/.local/share/bash-completion/completions/trunkline
  trunkline completion zsh > ~/.zfunc/_trunkline
  trunkline completion fish > ~/.config/fish/completions/trunkline.fish";

pub(crate) const MAN: &str = "\
Examples:
  trunkline man ~/.local/share/man/man1           # then: man trunkline, man trunkline-check";

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::cli::Cli;

    /// The words of each example: what the shell makes of comments and redirections is not the command's.
    fn examples(help: &str) -> impl Iterator<Item = Vec<&str>> {
        let commands =
            help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("trunkline"));
        commands.map(|line| line.split_whitespace().take_while(|word| !["#", ">"].contains(word)).collect())
    }

    fn all_commands(command: &clap::Command) -> Vec<clap::Command> {
        let below = command.get_subcommands().flat_map(all_commands);
        [command.clone()].into_iter().chain(below).collect()
    }

    #[test]
    fn every_example_is_a_command_of_ours() {
        let mut seen = 0;
        for command in all_commands(&Cli::command()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for words in examples(&help) {
                assert_eq!(words.contains(&command.get_name()), command.get_name() != "trunkline", "{words:?}");
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{words:?}: {error}");
                }
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen} examples");
    }
}
