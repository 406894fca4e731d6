//! The settings of a process as text, for people who look at it.
//!
//! Owns their names and what is masked. Knows no page. Invariants: every setting is listed, under its flag if it has
//! one; the value of a property that may be a secret is never shown.

use super::{Config, Trigger};
use std::{collections::BTreeMap, fmt::Display, path::PathBuf, time::Duration};

/// What the name of a property has in it if its value may be a secret.
const SECRET: [&str; 8] =
    ["password", "secret", "token", "credential", "key.pem", "keystore.key", "jaas", "oauthbearer.config"];
const MASKED: &str = "(not shown)";

impl Config {
    /// Every setting as name and value. A setting that has a flag is named by it, another one by its field; properties
    /// of the Kafka client come last, those that may be secrets without their value.
    ///
    /// ```
    /// let mut config = tidegate::Config::new("orders", "broker:9092");
    /// config.properties.insert("sasl.password".into(), "hunter2".into());
    /// let settings = config.settings();
    /// assert!(settings.contains(&("--application-id".into(), "orders".into())));
    /// assert!(settings.contains(&("staged_bytes_max".into(), "201326592".into())));
    /// assert!(settings.contains(&("-X sasl.password".into(), "(not shown)".into())));
    /// ```
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one or two for each setting")]
    pub fn settings(&self) -> Vec<(String, String)> {
        // Each field by name, so that a new one cannot be forgotten.
        let Config {
            bootstrap,
            application_id,
            instance_id,
            state_dir,
            trigger,
            threads,
            guarantee,
            starting_offsets,
            state_partitions,
            replication_factor,
            properties,
            state_memory_bytes,
            state_kept_for,
            state_kept_bytes,
            staged_bytes_max,
            batch_records_max,
            batch_bytes_max,
            backpressure,
            initial_rate,
            max_rate_per_partition,
            metadata_refresh,
            receive_buffer_bytes,
            waiting_bytes_max,
            connect_timeout,
            transaction_timeout,
            session_timeout,
            stop_timeout,
            witness_interval,
            admin_bind,
            admin_access,
            progress_line,
            leave,
            shared_files,
            remember,
            accept_offsets,
            on_refused_record,
            accept_state_changes,
            exchange: _,
        } = self;
        let interval = match trigger {
            Trigger::Interval(interval) => millis(interval),
            _ => "0".into(),
        };
        let named = [
            ("--bootstrap", bootstrap.clone()),
            ("--application-id", application_id.clone()),
            ("--instance-id", or(instance_id.as_ref(), "an id kept in the state directory")),
            ("--state-dir", or(state_dir.as_ref().map(|dir| dir.display()), "none")),
            ("--batch-interval-ms", interval),
            ("--available-now", is_on(*trigger == Trigger::AvailableNow)),
            ("--once", is_on(*trigger == Trigger::Once)),
            ("--threads", threads.to_string()),
            ("--guarantee", flag_value(guarantee)),
            ("--on-refused-record", flag_value(on_refused_record)),
            ("--starting-offsets", flag_value(starting_offsets)),
            ("--state-partitions", state_partitions.to_string()),
            ("--replication-factor", or(replication_factor.as_ref(), "the broker's")),
            ("--state-memory-bytes", state_memory_bytes.to_string()),
            ("--state-kept-for-ms", millis(state_kept_for)),
            ("--state-kept-bytes", state_kept_bytes.to_string()),
            ("--connect-timeout-ms", millis(connect_timeout)),
            ("--transaction-timeout-ms", millis(transaction_timeout)),
            ("--session-timeout-ms", millis(session_timeout)),
            ("--stop-timeout-ms", millis(stop_timeout)),
            ("--admin-bind", or(admin_bind.as_ref(), "off")),
            ("--admin-token-file", admin_access.token.shown()),
            ("--admin-certificate-file", path(admin_access.admin_certificate_file.as_ref())),
            ("--admin-key-file", path(admin_access.admin_key_file.as_ref())),
            ("--admin-client-ca-file", path(admin_access.admin_client_ca_file.as_ref())),
            ("--admin-open-metrics", is_on(admin_access.admin_open_metrics)),
            ("--admin-insecure", is_on(admin_access.admin_insecure)),
            ("--leave", is_on(*leave)),
            ("--shared-files", is_on(*shared_files)),
            ("--accept-offsets", is_on(*accept_offsets)),
            ("--accept-state-changes", is_on(*accept_state_changes)),
            ("staged_bytes_max", staged_bytes_max.to_string()),
            ("batch_records_max", batch_records_max.to_string()),
            ("batch_bytes_max", batch_bytes_max.to_string()),
            ("receive_buffer_bytes", receive_buffer_bytes.to_string()),
            ("waiting_bytes_max", waiting_bytes_max.to_string()),
            ("backpressure", is_on(*backpressure)),
            ("initial_rate", or(initial_rate.as_ref(), "no limit")),
            ("max_rate_per_partition", or(max_rate_per_partition.as_ref(), "no limit")),
            ("metadata_refresh", format!("{metadata_refresh:?}")),
            ("witness_interval", format!("{witness_interval:?}")),
            ("remember", format!("{remember:?}")),
            ("progress_line", is_on(*progress_line)),
        ];
        named.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(shown(properties)).collect()
    }
}

fn is_on(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// Properties of the client; those that may be secrets without their value.
fn shown(properties: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    properties.iter().map(|(name, value)| {
        // The value of `sasl.password.file` is a path.
        let is_secret = name.strip_suffix(".file").is_none()
            && SECRET.iter().any(|part| name.to_lowercase().contains(part));
        (format!("-X {name}"), if is_secret { MASKED.to_owned() } else { value.clone() })
    })
}

fn or(value: Option<impl Display>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |value| value.to_string())
}

fn path(path: Option<&PathBuf>) -> String {
    or(path.map(|path| path.display()), "none")
}

fn millis(time: &Duration) -> String {
    time.as_millis().to_string()
}

/// As the flag spells it.
fn flag_value(value: &impl clap::ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Args;
    use clap::Args as _;

    #[test]
    fn settings_have_the_names_of_their_flags_and_all_are_documented() {
        let settings = Config::new("app", "memory:").settings();
        let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
        // How to log is not a setting of the engine.
        let elsewhere = ["log-format", "log-level"];
        for arg in Args::augment_args(clap::Command::new("p")).get_arguments() {
            let Some(long) = arg.get_long().filter(|long| !arg.is_hide_set() && !elsewhere.contains(long))
            else {
                continue;
            };
            assert!(names.contains(&format!("--{long}").as_str()), "{long}: {names:?}");
        }
        let text = include_str!("../../docs/operations.md");
        names.iter().for_each(|name| assert!(text.contains(&format!("| `{name}` |")), "{name}"));
    }

    #[test]
    fn values_are_spelled_like_those_of_flags_and_secrets_are_masked() {
        let mut config = Config::new("app", "memory:");
        config.trigger = Trigger::AsSoonAsPossible;
        let secrets = [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
        ];
        secrets.iter().for_each(|name| drop(config.properties.insert((*name).into(), "hunter2".into())));
        config.properties.insert("linger.ms".into(), "5".into());
        config.admin_access.token.admin_token = Some("hunter2-hunter2-hunter2".into());
        config.properties.insert("sasl.password.file".into(), "/run/secrets/kafka".into());
        let settings = config.settings();
        let value = |name: &str| settings.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(value("--guarantee"), Some("exactly-once"));
        assert_eq!(value("--batch-interval-ms"), Some("0"));
        assert_eq!(value("-X linger.ms"), Some("5"));
        assert_eq!(value("--admin-token-file"), Some("TIDEGATE_ADMIN_TOKEN (not shown)"));
        assert_eq!(value("-X ssl.key.pem"), Some(MASKED));
        assert_eq!(value("-X sasl.password.file"), Some("/run/secrets/kafka"));
        assert!(settings.iter().all(|(_, value)| !value.contains("hunter2")), "{settings:?}");
    }
}
