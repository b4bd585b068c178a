//! Which workload made a pod, by what its controller wrote on it: no API server is asked.

use std::collections::HashMap;

/// What a pod says about its controller. What cannot be told for sure is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    pub deployment: Option<&'a str>,
    pub replica_set: Option<&'a str>,
    pub stateful_set: Option<&'a str>,
    pub daemon_set: Option<&'a str>,
    pub job: Option<&'a str>,
    pub cron_job: Option<&'a str>,
    /// Changes with every change of what the workload runs.
    pub revision: Option<&'a str>,
}

/// Kubernetes cuts the name that a made-up name is made of to fit: a pod with a name of this many
/// bytes may have lost the end of its owner's.
const LONGEST_NAME: usize = 63;
/// The letters of made-up names.
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Finds the owner of a pod. `created` is seconds since the Unix epoch.
pub(super) fn owner<'a>(
    pod: &'a str,
    labels: &'a HashMap<String, String>,
    created: i64,
) -> Owner<'a> {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let mut owner = Owner::default();
    if let Some(job) = label("batch.kubernetes.io/job-name").or_else(|| label("job-name")) {
        owner.job = Some(job);
        owner.cron_job = cron_job(job, created);
    } else if let Some(hash) = label("pod-template-hash") {
        owner.revision = Some(hash);
        // The hash is in the name, which makes sure that nothing was cut off it.
        let base = without_random(pod);
        if let Some(deployment) = base.and_then(|base| without_suffix(base, hash)) {
            owner.replica_set = base;
            owner.deployment = Some(deployment);
        }
    } else if let Some(revision) = label("controller-revision-hash") {
        let set =
            pod.rsplit_once('-').filter(|(_, ordinal)| is_number(ordinal)).map(|(set, _)| set);
        let of_set = set.and_then(|set| revision.strip_prefix(set)?.strip_prefix('-'));
        if let Some(hash) = of_set.filter(|hash| !hash.is_empty()) {
            owner.stateful_set = set;
            owner.revision = Some(hash);
        } else if label("statefulset.kubernetes.io/pod-name").is_none() {
            owner.revision = Some(revision);
            owner.daemon_set = without_random(pod).filter(|_| pod.len() < LONGEST_NAME);
        }
    }
    owner
}

/// `<name>-<five letters>` without the letters.
fn without_random(pod: &str) -> Option<&str> {
    let (base, random) = pod.rsplit_once('-')?;
    let is_random = random.len() == 5 && random.bytes().all(|byte| RANDOM.contains(&byte));
    (is_random && !base.is_empty()).then_some(base)
}

fn without_suffix<'a>(base: &'a str, hash: &str) -> Option<&'a str> {
    base.strip_suffix(hash)?.strip_suffix('-').filter(|name| !name.is_empty())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How long after its time a scheduled job may start and still be believed to be one, in seconds.
const LATE_SECONDS: i64 = 24 * 60 * 60;

/// `<cron job>-<minutes since the Unix epoch>`, when that is about the time at which the pod was made.
fn cron_job(job: &str, created: i64) -> Option<&str> {
    let (name, minutes) = job.rsplit_once('-').filter(|(name, _)| !name.is_empty())?;
    let scheduled = is_number(minutes).then(|| minutes.parse::<i64>().ok())?? * 60;
    (created - LATE_SECONDS..=created + 60).contains(&scheduled).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_706_696_430;

    #[track_caller]
    fn check(pod: &str, labels: &[(&str, &str)], expected: &Owner<'_>) {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(owner(pod, &labels, NOW), *expected, "{pod}");
    }

    #[test]
    fn deployments() {
        let hash = [("pod-template-hash", "7d9f8c6b5d")];
        let found = Owner {
            deployment: Some("web"),
            replica_set: Some("web-7d9f8c6b5d"),
            revision: Some("7d9f8c6b5d"),
            ..Owner::default()
        };
        check("web-7d9f8c6b5d-x2x4z", &hash, &found);
        let only_revision = Owner { revision: Some("7d9f8c6b5d"), ..Owner::default() };
        check("web-7d9f8c6b5d-aaaaa", &hash, &only_revision);
        check("web-other-x2x4z", &hash, &only_revision);
        check("-7d9f8c6b5d-x2x4z", &hash, &only_revision);
        check("web", &hash, &only_revision);
        check("web-7d9f8c6b5d-x2x4z", &[], &Owner::default());
        check("web-7d9f8c6b5d-x2x4z", &[("pod-template-hash", "")], &Owner::default());
    }

    #[test]
    fn stateful_sets() {
        let labels = [
            ("controller-revision-hash", "db-main-6f7d8"),
            ("statefulset.kubernetes.io/pod-name", "db-main-11"),
        ];
        let found =
            Owner { stateful_set: Some("db-main"), revision: Some("6f7d8"), ..Owner::default() };
        check("db-main-11", &labels, &found);
        check("other-11", &labels, &Owner::default());
    }

    #[test]
    fn daemon_sets() {
        let labels = [("controller-revision-hash", "6f7d8c"), ("pod-template-generation", "1")];
        let of = |daemon_set| Owner { daemon_set, revision: Some("6f7d8c"), ..Owner::default() };
        check("node-agent-x2x4z", &labels, &of(Some("node-agent")));
        check("node-agent", &labels, &of(None));
        check(&format!("{}-x2x4z", "a".repeat(57)), &labels, &of(None));
    }

    #[test]
    fn jobs() {
        let job = |job, cron_job| Owner { job: Some(job), cron_job, ..Owner::default() };
        let key = "batch.kubernetes.io/job-name";
        check("migrate-x2x4z", &[(key, "migrate")], &job("migrate", None));
        check("migrate-x2x4z", &[("job-name", "migrate")], &job("migrate", None));
        let scheduled = format!("backup-{}", NOW / 60 - 2);
        check("backup-x", &[(key, &scheduled)], &job(&scheduled, Some("backup")));
        check("backup-x", &[(key, "backup-12345678")], &job("backup-12345678", None));
        check("x", &[(key, "28444940")], &job("28444940", None));
    }
}
