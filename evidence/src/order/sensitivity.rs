//! How sensitive a plan is, judged by what it can read.
//! Guarantee: in doubt, the answer is `sensitive`: a pattern that *can* match a private place counts as if it did.

use serde::{Deserialize, Serialize};

use super::glob::{Glob, WILDCARDS, is_literal};
use super::plan::{Plan, Step};

/// Whether a plan can reach private data. The roster's rules use it to require two persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sensitivity {
    /// Nothing private by the rules of docs/spec/order.md.
    Normal,
    /// Homes, mail, password hashes, keys, environments.
    Sensitive,
}

impl Sensitivity {
    /// The word that documents use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Sensitive => "sensitive",
        }
    }
}

/// Places whose content is private.
const PRIVATE: [&[&str]; 9] = [
    &["home"],
    &["root"],
    &["var", "mail"],
    &["var", "spool", "mail"],
    &["etc", "shadow"],
    &["etc", "shadow-"],
    &["etc", "gshadow"],
    &["etc", "gshadow-"],
    &["etc", "ssh"],
];

/// Entries of `/proc/<pid>` that show memory, secrets or another view of the whole file system.
const PRIVATE_OF_PROCESS: [&str; 7] = ["cwd", "environ", "fd", "map_files", "mem", "root", "task"];

impl Plan {
    /// The sensitivity that the plan's steps give. An order that states another value is refused.
    pub fn sensitivity(&self) -> Sensitivity {
        let sensitive = self.steps().iter().any(|step| match step {
            Step::Processes(step) => step.environ,
            Step::Files(step) => step.paths.iter().any(|glob| reaches_private(glob) || reaches_process(glob)),
            Step::Host {} | Step::Sockets {} | Step::Routes {} | Step::Sessions {} | Step::Mounts {} => false,
            Step::Journal(_) => false,
        });
        if sensitive { Sensitivity::Sensitive } else { Sensitivity::Normal }
    }
}

/// True when the glob can match a private place or something below it.
fn reaches_private(glob: &Glob) -> bool {
    PRIVATE.iter().any(|place| {
        let mut pattern = glob.components();
        for name in *place {
            match pattern.next() {
                Some(component) if component.starts_with("**") => return true,
                Some(component) if can_match(component, name) => {}
                // Another name; or the glob ends above the place, which is a directory taken without its contents.
                _ => return false,
            }
        }
        true
    })
}

/// True when the glob can name a private entry of a process in `/proc`.
fn reaches_process(glob: &Glob) -> bool {
    let mut components = glob.components();
    // `**` in the first place reaches the private places already.
    if !components.next().is_some_and(|first| can_match(first, "proc")) {
        return false;
    }
    let Some(process) = components.next() else {
        return false;
    };
    if process.starts_with("**") {
        return true;
    }
    let number = process.bytes().all(|byte| byte.is_ascii_digit());
    if is_literal(process) && !number && !matches!(process, "self" | "thread-self") {
        return false;
    }
    let private = |entry: &str| PRIVATE_OF_PROCESS.iter().any(|name| can_match(entry, name));
    components.next().is_some_and(|entry| entry.starts_with("**") || private(entry))
}

/// True unless the literal text before the component's first wildcard character, or after its last, rules it out.
fn can_match(component: &str, name: &str) -> bool {
    match (component.split_once(WILDCARDS), component.rsplit_once(WILDCARDS)) {
        (Some((head, _)), Some((_, tail))) => name.starts_with(head) && name.ends_with(tail),
        // Without a wildcard it matches only itself.
        _ => component == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{FilesStep, OnLarger, ProcessesStep};

    fn files(path: &str) -> Sensitivity {
        Plan::new(vec![Step::Files(FilesStep {
            paths: vec!["/etc/hosts".parse().unwrap(), path.parse().unwrap()],
            exclude: vec![],
            item_bytes: 1,
            one_filesystem: true,
            on_larger: OnLarger::Skip,
        })])
        .sensitivity()
    }

    #[test]
    fn a_glob_that_can_reach_a_private_place_is_sensitive() {
        for path in [
            "/**",
            "/**2",
            "/*",
            "/*/x",
            "/h*/x",
            "/[h]ome/x",
            "/{opt,home}",
            "/?ome/*",
            "/home",
            "/home/**",
            "/home/ada/.bash_history",
            "/root/.ssh/*",
            "/{a,home}/**",
            "/var/**",
            "/var/**2/x",
            "/var/spool/*",
            "/var/*/mail",
            "/v*/m*l/*",
            "/var/mail/ada",
            "/etc/*",
            "/etc/shadow",
            "/etc/shadow-",
            "/etc/shado?",
            "/etc/ssh/sshd_config",
            "/e\\tc/ssh",
            "/etc/*h",
            "/etc/s*",
            "/*/ssh/x",
            "/proc/1/environ",
            "/p*/1/environ",
            "/proc/*/environ",
            "/proc/*/*",
            "/proc/1/m*",
            "/proc/**",
            "/proc/self/root/etc/hosts",
            "/proc/1/task/1/environ",
            "/proc/[0-9]*/fd/*",
            "/proc/{1,2}/{mem,stat}",
        ] {
            assert_eq!(files(path), Sensitivity::Sensitive, "{path}");
        }
    }

    #[test]
    fn a_glob_that_cannot_is_normal() {
        for path in [
            "/",
            "/etc",
            "/var",
            "/var/spool",
            "/etc/passwd",
            "/etc/cron.d/*",
            "/var/log/**",
            "/homework/**",
            "/etc/sshd/*",
            "/usr/home/**",
            "/proc/meminfo",
            "/proc/*/status",
            "/proc/sys/**",
            "/proc/*",
            "/proc/1/maps",
            "/proc",
            "/proc/net/*",
            "/etc/cron*/**4",
            "/etc/*-release",
            "/etc/rc*.d/*",
            "/v*",
            "/run/{a,b}/**",
            "/etc/security/**3",
            "/proc/*/st*",
        ] {
            assert_eq!(files(path), Sensitivity::Normal, "{path}");
        }
    }

    #[test]
    fn environments_are_sensitive() {
        let step = ProcessesStep { hash_exe: true, maps: true, environ: false };
        assert_eq!(Plan::new(vec![Step::Host {}, Step::Processes(step)]).sensitivity(), Sensitivity::Normal);
        let step = ProcessesStep { environ: true, ..step };
        assert_eq!(
            Plan::new(vec![Step::Host {}, Step::Processes(step)]).sensitivity(),
            Sensitivity::Sensitive
        );
    }
}
